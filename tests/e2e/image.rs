//! The image, where there is no engine to build it: its file system is assembled by the Dockerfile's own script, the program
//! runs in it as it would in a container, and the Dockerfile and compose.yaml are held to what they have to say.

mod authority;
mod cage;
mod compose;
mod dockerfile;

use std::{fs, net::SocketAddr, os::unix::fs::PermissionsExt, path::Path};

use nix::sys::signal::Signal;
use patchbay_e2e::{Client, Outcome, programs::program, wait::block_until, wait_until};
use serde_json::{Value, json};

use self::{
    authority::{Authority, Server},
    cage::{Cage, Inside, Root},
};

/// Where the gateway of these tests listens: on ports that are free, and for operators on all addresses, as in a container.
const LISTEN: [(&str, &str); 4] = [
    ("PATCHBAY_LISTEN_MCP", "127.0.0.1:0"),
    ("PATCHBAY_LISTEN_OPERATIONS", "0.0.0.0:0"),
    ("PATCHBAY_LISTEN_ADMIN", "off"),
    ("PATCHBAY_LOG_FORMAT", "json"),
];

fn expect(what: &str, outcome: &Outcome, code: i32, words: &[&str]) {
    assert_eq!(outcome.code, code, "{what}: {outcome:?}");
    for word in words {
        assert!(outcome.err.contains(word), "{what}: {word:?} is not in: {}", outcome.err);
    }
    assert!(!outcome.err.contains("panicked"), "{what}: {}", outcome.err);
}

/// The first line of its log that says where it listens.
fn listening(log: &str) -> Option<(SocketAddr, SocketAddr)> {
    log.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok()).find_map(|line| {
        let address = |name: &str| line[name].as_str()?.parse().ok();
        Some((address("mcp")?, address("operations")?))
    })
}

/// Waits until the gateway serves, and says where.
fn up(gateway: &mut Inside) -> (SocketAddr, SocketAddr) {
    let mut at = None;
    block_until("the gateway says where it listens", || {
        let ended = gateway.process.status();
        assert!(ended.is_none(), "it ended ({ended:?}): {}", gateway.process.err());
        at = listening(&gateway.process.err());
        at.is_some()
    });
    at.unwrap()
}

/// What `patchbay health` says of it, asked as an engine asks: by the same program, in the same file system.
fn health(cage: Cage, root: &Root, operations: SocketAddr) -> Outcome {
    cage.run(root, &[("PATCHBAY_LISTEN_OPERATIONS", &operations.to_string())], &["health"])
}

#[test]
fn the_image_holds_the_program_its_libraries_and_nothing_to_break_in_with() {
    let root = Root::assemble();
    let files = root.files();
    for file in &files {
        let name = Path::new(file).file_name().unwrap().to_str().unwrap();
        let is_library = file.starts_with("lib") && (name.contains(".so.") || name.ends_with(".so"));
        let is_expected = matches!(
            file.as_str(),
            "usr/local/bin/patchbay" | "etc/ssl/certs/ca-certificates.crt" | "etc/hosts" | "etc/nsswitch.conf"
        ) || matches!(file.as_str(), "etc/passwd" | "etc/group")
            || file.starts_with("usr/share/doc/");
        assert!(is_library || is_expected, "what does the image need {file} for?");
        let mode = fs::metadata(root.path(file)).unwrap().permissions().mode() & 0o7777;
        let wanted = if is_library || name == "patchbay" { 0o755 } else { 0o644 };
        assert_eq!(mode, wanted, "{file} has the mode {mode:o}");
    }
    assert!(files.iter().any(|file| file.ends_with("/libc.so.6")), "{files:?}");
    assert!(files.iter().any(|file| file == "usr/share/doc/patchbay/LICENSE"), "{files:?}");
    let passwd = fs::read_to_string(root.path("etc/passwd")).unwrap();
    assert!(passwd.lines().any(|line| line.starts_with("patchbay:x:10001:10001:")), "{passwd}");
    // What is there already is never mixed into an image.
    let again = root.assemble_again();
    expect("a folder that is not empty", &again, 1, &["is not empty"]);
    for cage in Cage::all() {
        let root = Root::assemble();
        let version = cage.run(&root, &[], &["--version"]);
        assert_eq!((version.code, version.out.starts_with("patchbay ")), (0, true), "{cage:?}: {version:?}");
        let silent = cage.run(&root, &[], &["health"]);
        expect("nothing to ask", &silent, 1, &["127.0.0.1:9090", "is the gateway running?"]);
    }
}

#[test]
fn what_is_taken_out_of_the_image_is_missed() {
    let root = Root::assemble();
    let Some(cage) = Cage::any() else { return };
    let libraries: Vec<_> = root.files().into_iter().filter(|file| file.starts_with("lib")).collect();
    assert!(libraries.len() >= 3, "{libraries:?}");
    for library in libraries {
        let (file, aside) = (root.path(&library), root.path("aside"));
        fs::rename(&file, &aside).unwrap();
        let outcome = cage.run(&root, &[], &["--version"]);
        assert!(outcome.code != 0, "it runs without {library}: {outcome:?}");
        let said = ["error while loading shared libraries", "No such file or directory"];
        assert!(said.iter().any(|said| outcome.err.contains(said)), "{library}: {}", outcome.err);
        fs::rename(&aside, &file).unwrap();
    }
    cage.run(&root, &[], &["--version"]).good();
}

#[tokio::test]
async fn a_trial_in_the_image_answers_a_call_and_its_health_check_and_drains_as_process_one() {
    let root = Root::assemble();
    let Some(cage) = Cage::any() else { return };
    // The only place to write is the volume.
    let elsewhere = cage.run(&root, &[("PATCHBAY_DATA_DIR", "/etc/patchbay/data")], &["tenant", "list"]);
    assert!(elsewhere.code != 0, "it writes beside its volume: {elsewhere:?}");
    let refused = ["Read-only file system", "Permission denied", "unable to open database file"];
    assert!(refused.iter().any(|word| elsewhere.err.contains(word)), "{elsewhere:?}");

    let mut gateway = cage.start(&root, &LISTEN, &[]);
    let (address, operations) = up(&mut gateway);
    assert!(operations.ip().is_unspecified(), "{operations}");
    block_until("the greeting is whole", || gateway.process.out().contains("Stop with Ctrl-C"));
    let greeting = gateway.process.out();
    let key = greeting.lines().find_map(|line| line.trim().strip_prefix("key ")).unwrap();
    let key = key.split_whitespace().next().unwrap().to_owned();
    let client = Client::modern(address, "/t/demo/mcp", Some(&key));
    let asked = client.call("shop_query_database", json!({ "sql": "SELECT count(*) AS n FROM products" })).await;
    assert!(!asked.is_error() && asked.text().contains('n'), "{}", asked.raw);
    let well = health(cage, &root, operations);
    assert_eq!((well.code, well.out.trim()), (0, "ok"), "{well:?}");

    let program = gateway.program();
    if cage == Cage::Namespaces {
        let status = fs::read_to_string(format!("/proc/{}/status", program.pid)).unwrap();
        let ids = status.lines().find_map(|line| line.strip_prefix("NSpid:")).unwrap();
        assert_eq!(ids.split_whitespace().last(), Some("1"), "not the first process of its container: {ids}");
    }
    program.signal(Signal::SIGTERM);
    assert!(gateway.process.ended().success(), "{}", gateway.process.err());
    let (_, log) = gateway.process.collected();
    assert!(log.contains("stopped"), "{log}");
    expect("after its end", &health(cage, &root, operations), 1, &["is the gateway running?"]);
}

#[tokio::test]
async fn servers_of_all_kinds_are_reached_from_the_image() {
    let root = Root::assemble();
    let Some(cage) = Cage::any() else { return };
    let (known, unknown) = (Authority::new("House"), Authority::new("Stranger"));
    let (trusted, strange) = (Server::start(&known.server()), Server::start(&unknown.server()));
    // As an image made from this one would have it: a program of its own for stdio servers, and an authority of the house.
    root.write("opt/fixture-scripted", &fs::read(program("fixture-scripted")).unwrap(), 0o755);
    let bundle = fs::read(root.path("etc/ssl/certs/ca-certificates.crt")).unwrap();
    root.write("etc/patchbay/authorities.pem", &[&*bundle, known.certificate().as_bytes()].concat(), 0o644);
    let config = json!({
        "http": { "allow_private": ["127.0.0.0/8", "::1/128"] },
        "stdio": { "commands": {
            "scripted": { "path": "/opt/fixture-scripted", "args_prefix": ["--stdio"] },
            "npx": { "path": "npx" },
        } },
    });
    root.write("etc/patchbay/patchbay.yaml", config.to_string().as_bytes(), 0o644);
    // By name, so that a resolver is needed too.
    let tenant = json!({ "tenant": "acme", "servers": {
        "child": { "command": "scripted", "args": ["--no-odd"] },
        "absent": { "command": "npx" },
        "trusted": { "url": format!("https://localhost:{}/mcp", trusted.address.port()) },
        "strange": { "url": format!("https://localhost:{}/mcp", strange.address.port()) },
    } });
    root.write("etc/patchbay/acme.yaml", tenant.to_string().as_bytes(), 0o644);
    let config = ("PATCHBAY_CONFIG", "/etc/patchbay/patchbay.yaml");
    cage.run(&root, &[config], &["apply", "-f", "/etc/patchbay/acme.yaml"]).good();
    let made = cage.run(&root, &[config], &["key", "create", "--tenant", "acme", "--label", "image", "--json"]).good();
    let key = serde_json::from_str::<Value>(&made).unwrap()["key"].as_str().unwrap().to_owned();

    let house = ("SSL_CERT_FILE", "/etc/patchbay/authorities.pem");
    let mut gateway = cage.start(&root, &[&LISTEN[..], &[config, house]].concat(), &[]);
    let (address, _) = up(&mut gateway);
    let client = Client::modern(address, "/t/acme/mcp", Some(&key));
    let echo = client.call("child_echo", json!({ "text": "from within" })).await;
    assert!(!echo.is_error() && echo.raw.contains("from within"), "{}", echo.raw);
    wait_until("the server of the known authority is spoken to", || async { trusted.seen().contains(&Ok(())) }).await;
    wait_until("the other one is not", || async { strange.seen().iter().any(Result::is_err) }).await;
    let (of_trusted, of_strange) = (trusted.seen(), strange.seen());
    assert!(of_trusted.iter().all(Result::is_ok), "{of_trusted:?}");
    let refused = |seen: &Result<(), String>| seen.as_ref().is_err_and(|why| why.contains("UnknownCA"));
    assert!(of_strange.iter().all(refused), "{of_strange:?}");
    block_until("both refusals are in the log", || {
        let log = gateway.process.err();
        log.contains("UnknownIssuer") && log.contains("`npx` is not on PATH")
    });
    gateway.program().signal(Signal::SIGTERM);
    assert!(gateway.process.ended().success(), "{}", gateway.process.err());

    // Without any authority it is said that there is none, and not that the server is strange.
    fs::remove_file(root.path("etc/ssl/certs/ca-certificates.crt")).unwrap();
    let mut gateway = cage.start(&root, &[&LISTEN[..], &[config]].concat(), &[]);
    up(&mut gateway);
    block_until("the log says that there are no roots", || {
        gateway.process.err().contains("the trusted certificates of this machine cannot be used")
    });
    assert!(!gateway.process.err().contains("UnknownIssuer"), "{}", gateway.process.err());
}
