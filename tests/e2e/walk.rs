//! `docs/operations.md` as somebody walks through it: each command on the page is run, in the order of the page, by a real shell
//! against the real program, Postgres and Redis, and has to say what the page says. What stands in for the page's names is in
//! `machine`, what counts as a command in `page`. What needs a cluster or an engine for images is listed here by name.

mod machine;
mod page;
mod systemd;

use std::time::Instant;

use patchbay_e2e::PATIENCE;

use self::{
    machine::Machine,
    page::{Block, Page, Step},
};

/// What the page shows and nobody can run here: the first line of each such block, in the order of the page. The page says why.
const UNTRIED: [&str; 6] = [
    "cargo build --release -p patchbay -p patchbay-builtin-tools",
    "useradd --system --home-dir /var/lib/patchbay --shell /usr/sbin/nologin patchbay",
    "docker build -t registry.example.org/patchbay:0.1.0 .",
    "helm install patchbay ./helm --namespace tools --create-namespace --values values.yaml",
    "helm upgrade patchbay ./helm --namespace tools --values values.yaml",
    "kubectl -n tools rollout restart deployment/patchbay",
];

/// Walks the page from its beginning to its end, or to the first thing that is not as it says.
fn walk(machine: &mut Machine, steps: &[Step]) -> Result<(), String> {
    let mut is_after_event = false;
    for step in steps {
        match step {
            Step::Event(event) => {
                machine.happen(event)?;
                is_after_event = true;
            }
            // What happened is noticed within a moment, so the first look at it is repeated.
            Step::Block(block) if is_after_event => {
                look(machine, block)?;
                is_after_event = false;
            }
            Step::Block(block) => machine.run(block)?,
        }
    }
    Ok(())
}

/// Runs a block that only looks until it sees what the page says.
fn look(machine: &mut Machine, block: &Block) -> Result<(), String> {
    let end = Instant::now() + PATIENCE;
    loop {
        match machine.run(block) {
            Err(_) if Instant::now() < end => {}
            done => return done,
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_command_of_the_operators_page_does_what_the_page_says() {
    let page = Page::of_operators();
    let Some(mut machine) = Machine::start().await else { return };
    let walked = tokio::task::block_in_place(|| walk(&mut machine, &page.steps));
    if let Err(problem) = walked {
        panic!("docs/operations.md, {problem}\n{}", machine.logs());
    }
    machine.clear().await;
}

#[test]
fn what_the_page_shows_and_nobody_runs_is_known_by_name() {
    let page = Page::of_operators();
    let names: Vec<_> = page.untried.iter().map(String::as_str).collect();
    assert_eq!(names, UNTRIED, "correct UNTRIED, or fence it with ```sh so that it is run");
    assert!(page.steps.len() > 40, "only {} commands are run", page.steps.len());
}

#[test]
fn a_command_that_is_wrong_is_noticed() {
    let wrong = |text: &str| {
        let page = Page::parse(text).unwrap();
        walk(&mut Machine::bare(), &page.steps)
    };
    assert_eq!(wrong("# Title\n```sh\necho one; echo two\n```\n\n```text\none\n…\n```\n"), Ok(()));
    for (what, text) in [
        ("a program that fails", "```sh\nls /no/such/file\necho and on\n```\n"),
        ("a program that is not there", "```sh\nno-such-program\n```\n"),
        ("a variable that nobody set", "```sh\necho \"$NOBODY_SET_THIS\"\n```\n"),
        ("another output", "```sh\necho one\n```\n```text\ntwo\n```\n"),
        ("less output", "```sh\necho one\n```\n```text\none\ntwo\n```\n"),
        ("more output", "```sh\necho one\necho two\n```\n```text\none\n```\n"),
        ("a service without a unit", "```sh\nsystemctl start patchbay@a\n```\n"),
        ("what cannot happen", "<!-- walk: the moon goes away -->\n"),
    ] {
        let problem = wrong(text).expect_err(what);
        assert!(problem.starts_with("line "), "{what}: {problem}");
    }
}

#[test]
fn what_one_block_exports_the_next_one_has() {
    let mut machine = Machine::bare();
    let page = Page::parse("```sh\nexport WORD='a b'\n```\n```sh\necho \"$WORD\"\n```\n```text\na b\n```\n").unwrap();
    walk(&mut machine, &page.steps).unwrap();
}
