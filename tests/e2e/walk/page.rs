//! The page as a list of commands with what they say. Knows Markdown's fences and nothing of how commands are run. A fence that is
//! none of the known ones is refused, so that no command gets onto the page without being run.

use std::{fs, path::Path};

/// What stands for anything within a line, or, alone, for any lines.
const ANYTHING: &str = "…";
/// Fences that hold files and no commands.
const FILES: [&str; 3] = ["ini", "nginx", "yaml"];

/// The page.
#[derive(Debug)]
pub(super) struct Page {
    /// What is done, in order.
    pub(super) steps: Vec<Step>,
    /// The first lines of the blocks that are not run.
    pub(super) untried: Vec<String>,
}

/// A step of the walk.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// Commands.
    Block(Block),
    /// Something happens: `<!-- walk: … -->`.
    Event(Event),
}

/// Something that happens to the machine.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Event {
    /// Where the page says so.
    pub(super) line: usize,
    /// What.
    pub(super) what: String,
}

/// Commands that are run together.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Block {
    /// The line of the page at which it begins.
    pub(super) line: usize,
    /// The commands.
    pub(super) text: String,
    /// What they write to standard output, when the page shows it.
    pub(super) says: Option<String>,
}

impl Page {
    /// `docs/operations.md`.
    pub(super) fn of_operators() -> Self {
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().join("docs/operations.md");
        Self::parse(&fs::read_to_string(file).unwrap())
            .unwrap_or_else(|problem| panic!("docs/operations.md, {problem}"))
    }

    /// Reads a page.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let mut page = Self { steps: Vec::new(), untried: Vec::new() };
        let mut lines = text.lines().enumerate().map(|(at, line)| (at + 1, line));
        // Whether a block has just ended whose output may be shown.
        let mut may_say = false;
        while let Some((at, line)) = lines.next() {
            let Some(kind) = line.strip_prefix("```") else {
                if line.trim_start().starts_with("```") {
                    return Err(format!("line {at}: a fence has to stand at the beginning of its line"));
                }
                if let Some(event) = line.strip_prefix("<!-- walk: ").and_then(|rest| rest.strip_suffix(" -->")) {
                    page.steps.push(Step::Event(Event { line: at, what: event.to_owned() }));
                }
                may_say &= line.trim().is_empty();
                continue;
            };
            let inside: Vec<_> = lines.by_ref().map(|(_, line)| line).take_while(|line| *line != "```").collect();
            may_say = page.take(at, kind, &inside, may_say)?;
        }
        Ok(page)
    }

    /// Takes what stands between two fences; says whether what follows may be its output.
    fn take(&mut self, at: usize, kind: &str, inside: &[&str], may_say: bool) -> Result<bool, String> {
        match kind {
            "sh" => {
                self.steps.push(Step::Block(Block { line: at, text: inside.join("\n"), says: None }));
                return Ok(true);
            }
            "text" if may_say => {
                if let Some(Step::Block(block)) = self.steps.last_mut() {
                    block.says = Some(inside.join("\n"));
                }
            }
            "text" => return Err(format!("line {at}: ```text shows what the ```sh before it says, and there is none")),
            "console" => match inside {
                [reason, first, ..] if reason.starts_with("# Not run by the tests: ") => {
                    self.untried.push((*first).to_owned());
                }
                _ => {
                    return Err(format!(
                        "line {at}: a ```console has to begin with `# Not run by the tests: ` and why"
                    ));
                }
            },
            kind if FILES.contains(&kind) => {}
            kind => {
                return Err(format!(
                    "line {at}: ```{kind} is not known: expected ```sh for what is run, or ```console for what cannot be"
                ));
            }
        }
        Ok(false)
    }
}

/// Whether the text is as the page says.
pub(super) fn fits(says: &str, text: &str) -> bool {
    let says: Vec<_> = says.lines().collect();
    let text: Vec<_> = text.trim_end().lines().map(str::trim_end).collect();
    lines_fit(&says, &text)
}

fn lines_fit(says: &[&str], text: &[&str]) -> bool {
    match says.split_first() {
        None => text.is_empty(),
        Some((&ANYTHING, rest)) => (0..=text.len()).any(|skipped| lines_fit(rest, &text[skipped..])),
        Some((says, rest)) => {
            text.split_first().is_some_and(|(line, more)| line_fits(says, line) && lines_fit(rest, more))
        }
    }
}

fn line_fits(says: &str, line: &str) -> bool {
    let mut parts = says.split(ANYTHING);
    let Some(mut rest) = line.strip_prefix(parts.next().unwrap_or_default()) else { return false };
    let mut parts: Vec<_> = parts.collect();
    let Some(last) = parts.pop() else { return rest.is_empty() };
    for part in parts {
        let Some((_, after)) = rest.split_once(part) else { return false };
        rest = after;
    }
    rest.ends_with(last)
}

#[test]
fn dots_stand_for_whatever_is_there() {
    for (says, text) in [
        ("one", "one\n"),
        ("…", ""),
        ("…\nlast", "a\nb\nlast\n"),
        ("key … of …s", "key 12 of alices"),
        ("a…", "a"),
        ("first\n…\n\nlast", "first\n\n\nlast"),
    ] {
        assert!(fits(says, text), "{says:?} and {text:?}");
    }
    for (says, text) in
        [("one", "one two"), ("…a", "b"), ("a…c…e", "ace d"), ("…\nlast", "a\nlast\nb"), ("ab…b", "ab"), ("", "x")]
    {
        assert!(!fits(says, text), "{says:?} and {text:?}");
    }
}

#[test]
fn no_command_gets_onto_the_page_without_being_run() {
    for text in [
        "```\nls\n```\n",
        "```bash\nls\n```\n",
        "```shell\nls\n```\n",
        "  ```sh\n  ls\n  ```\n",
        "```console\nls\n```\n",
        "```console\n# Not run by the tests: it needs a cluster\n```\n",
        "```text\nls\n```\n",
        "```sh\nls\n```\nIt says:\n```text\nls\n```\n",
    ] {
        assert!(Page::parse(text).is_err(), "{text}");
    }
    let page = Page::parse("```console\n# Not run by the tests: it needs a cluster\nkubectl get pods\n```\n").unwrap();
    assert_eq!((page.untried, page.steps), (vec!["kubectl get pods".to_owned()], Vec::new()));
}
