//! The first hour with Patchbay: the two starts of the trial, and every mistake that a newcomer can make, each answered by a
//! sentence that says what to do.

use std::{fs, net::SocketAddr, os::unix::fs::PermissionsExt, path::Path};

use nix::sys::signal::Signal;
use patchbay_e2e::{
    Client, Outcome, TestGateway,
    process::{Running, command, run},
    programs::program,
    setup::{Setup, tenant},
    wait::block_until,
    wait_until,
};
use serde_json::{Value, json};
use tempfile::TempDir;

/// `patchbay` in this folder, on free ports, with nothing else said.
fn patchbay(folder: &Path, args: &[&str], env: &[(&str, &str)]) -> std::process::Command {
    let mut command = command(&program("patchbay"), args);
    command
        .current_dir(folder)
        .env("PATCHBAY_LISTEN_MCP", "127.0.0.1:0")
        .env("PATCHBAY_LISTEN_OPERATIONS", "127.0.0.1:0")
        .env("PATCHBAY_LISTEN_ADMIN", "127.0.0.1:0");
    command.envs(env.iter().copied());
    command
}

fn tried(folder: &Path, args: &[&str], env: &[(&str, &str)]) -> Outcome {
    run(&mut patchbay(folder, args, env))
}

/// Expects a failure with this code, in one sentence that holds all of these words.
fn expect(what: &str, outcome: &Outcome, code: i32, words: &[&str]) {
    assert_eq!(outcome.code, code, "{what}: {outcome:?}");
    for word in words {
        assert!(outcome.err.contains(word), "{what}: {word:?} is not in: {}", outcome.err);
    }
    assert!(!outcome.err.contains("panicked") && !outcome.err.contains("RUST_BACKTRACE"), "{what}: {}", outcome.err);
    assert!(outcome.err.lines().count() < 12, "{what}: too many words: {}", outcome.err);
}

/// Starts the trial and waits for its greeting.
fn trial(folder: &Path) -> (Running, String) {
    let mut process = Running::start(&mut patchbay(folder, &[], &[]));
    block_until("the greeting is whole", || {
        let ended = process.status();
        assert!(ended.is_none(), "it ended ({ended:?}): {}", process.err());
        process.out().contains("Stop with Ctrl-C")
    });
    let out = process.out();
    (process, out)
}

fn after<'a>(text: &'a str, label: &str) -> &'a str {
    let line =
        text.lines().find_map(|line| line.trim().strip_prefix(label)).unwrap_or_else(|| panic!("no {label} in {text}"));
    line.split_whitespace().next().unwrap()
}

fn address(url: &str) -> SocketAddr {
    let authority = url.trim_start_matches("http://").split('/').next().unwrap().replace("localhost", "127.0.0.1");
    authority.parse().unwrap_or_else(|_| panic!("no address in {url}"))
}

#[tokio::test]
async fn the_first_start_shows_a_key_once_and_the_second_finds_everything_again() {
    let folder = TempDir::new().unwrap();
    let (mut first, out) = trial(folder.path());
    let (url, key) = (after(&out, "URL").to_owned(), after(&out, "key").to_owned());
    assert!(key.starts_with("pb_") && out.matches(&key).count() > 1, "the key is in the blocks to paste: {out}");
    for client in ["Cursor", "VS Code", "Claude Code", "Codex"] {
        assert!(out.contains(client), "nothing to paste for {client}: {out}");
    }
    let path = url[url.find("/t/").unwrap()..].to_owned();
    let session = Client::legacy(address(&url), &path, Some(&key)).await;
    let tools = session.tools().await;
    assert!(tools.iter().any(|name| name.starts_with("shop_")), "{tools:?}");
    let query = tools.iter().find(|name| name.contains("query")).expect("a tool to ask the shop with");
    let schema = session.list("tools/list").await.into_iter().find(|tool| tool["name"] == query.as_str()).unwrap();
    let argument = schema["inputSchema"]["required"][0].as_str().unwrap_or("sql").to_owned();
    let asked = session.call(query, json!({ argument.clone(): "SELECT count(*) AS n FROM products" })).await;
    assert!(!asked.is_error(), "{}", asked.raw);
    let deleted = session.call(query, json!({ argument: "DELETE FROM products" })).await;
    assert!(deleted.is_error(), "the sample can be changed: {}", deleted.raw);

    let data = folder.path().join("patchbay-data");
    for (file, mode) in [("", 0o700), ("sealing.key", 0o600)] {
        let found = fs::metadata(data.join(file)).unwrap().permissions().mode() & 0o777;
        assert_eq!(found, mode, "{file} is open to others: {found:o}");
    }
    first.signal(Signal::SIGINT);
    assert!(first.ended().success());

    let (mut second, out) = trial(folder.path());
    assert!(!out.contains("pb_") || out.contains("pb_YOUR_KEY"), "a second key was made: {out}");
    assert!(out.contains("key create"), "it does not say how to get another: {out}");
    let url = after(&out, "URL").to_owned();
    let again = Client::modern(address(&url), &path, Some(&key));
    assert_eq!(again.tools().await, tools, "the first key still opens the door");
    let keys = tried(folder.path(), &["key", "list", "--tenant", "demo", "--json"], &[]).good();
    assert_eq!(serde_json::from_str::<Value>(&keys).unwrap().as_array().unwrap().len(), 1);
    let blocks = tried(folder.path(), &["connect", "--tenant", "demo"], &[]).good();
    for client in ["Cursor", "Claude Desktop", "Windsurf", "Gemini"] {
        assert!(blocks.contains(client), "connect has nothing for {client}");
    }

    // Whoever starts it a third time in the same folder is told.
    let third = tried(folder.path(), &[], &[]);
    expect("a third start", &third, 1, &["in use by another gateway", "stop that one"]);
    second.signal(Signal::SIGTERM);
    assert!(second.ended().success());
}

#[test]
fn a_port_that_is_taken_is_said_with_the_way_out() {
    let folder = TempDir::new().unwrap();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let at = taken.local_addr().unwrap().to_string();
    let outcome = tried(folder.path(), &[], &[("PATCHBAY_LISTEN_MCP", &at)]);
    expect("a port that is taken", &outcome, 1, &[&at, "is another Patchbay running there?", "PATCHBAY_LISTEN_MCP="]);
    let outcome = tried(folder.path(), &[], &[("PATCHBAY_LISTEN_OPERATIONS", &at)]);
    expect("the other port", &outcome, 1, &[&at, "PATCHBAY_LISTEN_OPERATIONS="]);
    let outcome = tried(folder.path(), &[], &[("PATCHBAY_LISTEN_MCP", "localhost")]);
    expect("an address that is none", &outcome, 78, &["PATCHBAY_LISTEN_MCP", "127.0.0.1:8080"]);
    let outcome = tried(folder.path(), &[], &[("PATCHBAY_LISTEN_MPC", "127.0.0.1:1")]);
    expect("a variable that is misspelt", &outcome, 78, &["PATCHBAY_LISTEN_MPC", "PATCHBAY_LISTEN_MCP"]);
}

#[test]
fn a_configuration_that_cannot_be_used_is_named_by_file_line_and_field() {
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("patchbay.yaml");
    for (what, text, words) in [
        ("no YAML", "listen: [1\nx: y\n", &["patchbay.yaml"][..]),
        ("a field that is misspelt", "listen:\n  mpc: 127.0.0.1:1\n", &["patchbay.yaml:2", "mpc", "mcp"]),
        ("a number that is none", "limits:\n  page_size: many\n", &["patchbay.yaml:2", "limits.page_size"]),
        ("a number out of range", "limits:\n  page_size: 0\n", &["limits.page_size", "1"]),
        ("two things at once", "limits:\n  page_size: 0\n  depth_max: x\n", &["limits.page_size", "limits.depth_max"]),
        ("a store of no kind", "store:\n  url: mysql://x\n", &["store.url", "postgres://"]),
        ("a secret that is not there", "sealing_key: env:NOWHERE\n", &["NOWHERE"]),
    ] {
        fs::write(&file, text).unwrap();
        for args in [&[][..], &["check"], &["tenant", "list"]] {
            expect(&format!("{what}, {args:?}"), &tried(folder.path(), args, &[]), 78, words);
        }
    }
    assert!(!folder.path().join("patchbay-data").exists(), "something was made before everything was checked");
    fs::remove_file(&file).unwrap();
    let outcome = tried(folder.path(), &["--config", "nowhere.yaml"], &[]);
    assert_ne!(outcome.code, 0);
    assert!(outcome.err.contains("nowhere.yaml"), "{outcome:?}");
    let outcome = tried(folder.path(), &["sevre"], &[]);
    expect("a command that is misspelt", &outcome, 64, &["sevre"]);
}

#[test]
fn a_store_that_cannot_be_opened_is_said_in_a_sentence_without_its_password() {
    let folder = TempDir::new().unwrap();
    let key =
        [("PATCHBAY_SECRET_K", "0123456789abcdef0123456789abcdef"), ("PATCHBAY_SEALING_KEY", "env:PATCHBAY_SECRET_K")];
    let nobody = {
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        port.local_addr().unwrap()
    };
    let url = format!("postgres://patchbay:hunter2-canary@{nobody}/patchbay");
    // A gateway would wait for it.
    let outcome = tried(folder.path(), &["check"], &[("PATCHBAY_STORE_URL", &url), key[0], key[1]]);
    assert_eq!(outcome.code, 1, "{outcome:?}");
    assert!(outcome.err.contains("the store cannot be opened") && outcome.err.contains("127.0.0.1"), "{}", outcome.err);
    assert!(!outcome.err.contains("hunter2"), "the password is in the message: {}", outcome.err);
    let outcome = tried(folder.path(), &[], &[("PATCHBAY_STORE_URL", &url)]);
    expect(
        "Postgres without a key",
        &outcome,
        78,
        &["sealing_key", "env:NAME or file:PATH", "every replica needs the same key"],
    );
    if let Ok(real) = std::env::var("PATCHBAY_TEST_POSTGRES_URL") {
        let wrong = real.rsplit_once('/').unwrap().0.to_owned() + "/no_such_database";
        let outcome = tried(folder.path(), &[], &[("PATCHBAY_STORE_URL", &wrong), key[0], key[1]]);
        assert_eq!(outcome.code, 1, "{outcome:?}");
        assert!(outcome.err.contains("no_such_database"), "{}", outcome.err);
    }
    let file = folder.path().join("a-file");
    fs::write(&file, "this is no database, and it is long enough to be seen as none: ".repeat(40)).unwrap();
    let outcome = tried(folder.path(), &[], &[("PATCHBAY_STORE_URL", &format!("sqlite://{}", file.display()))]);
    expect("a file that is no database", &outcome, 1, &["a-file"]);
    let outcome = tried(folder.path(), &[], &[("PATCHBAY_DATA_DIR", "/proc/nowhere")]);
    expect("a folder that cannot be made", &outcome, 1, &["/proc/nowhere", "data_dir"]);
}

#[tokio::test]
async fn tenants_and_keys_that_are_not_there_are_named_with_those_that_are() {
    let setup = Setup::new();
    let home = setup.home();
    let outcome = home.patchbay(&["key", "create", "--tenant", "acme", "--label", "x"]);
    expect("no tenant at all", &outcome, 1, &["no tenant `acme`", "patchbay apply -f FILE"]);
    home.apply(&tenant("acme", [("one", json!({ "command": "scripted" }))])).good();
    for args in [
        &["key", "create", "--tenant", "acem", "--label", "x"][..],
        &["key", "list", "--tenant", "acem"],
        &["export", "--tenant", "acem"],
        &["tenant", "show", "acem"],
        &["connect", "--tenant", "acem"],
    ] {
        expect(&format!("{args:?}"), &home.patchbay(args), 1, &["no tenant `acem`", "acme"]);
    }
    let outcome = home.patchbay(&["key", "create", "--tenant", "acme", "--label", "x", "--toolset", "narow"]);
    expect("no such toolset", &outcome, 1, &["no toolset `narow`", "default"]);
    let outcome = home.patchbay(&["key", "revoke", "--tenant", "acme", "pb_nothing"]);
    expect("no such key", &outcome, 1, &["pb_nothing", "patchbay key list"]);
    let outcome = home.patchbay(&["apply", "-f", "nowhere.yaml"]);
    expect("no such file", &outcome, 1, &["nowhere.yaml cannot be read"]);
    let outcome = home.patchbay(&["health"]);
    assert_ne!(outcome.code, 0);

    // Servers that will not work as they stand: nobody is refused, and everybody is told.
    let doubtful = tenant(
        "acme",
        [
            ("npx", json!({ "command": "npx", "args": ["-y", "something"] })),
            ("inside", json!({ "url": "http://10.1.2.3/mcp" })),
            ("odd", json!({ "builtin": "dbb" })),
        ],
    );
    let outcome = home.apply(&doubtful);
    assert_eq!(outcome.code, 0, "{outcome:?}");
    for words in ["`npx`, which is not on the operator's list", "http.allow_private", "no built-in server"] {
        assert!(outcome.err.contains(words), "{words:?} is not in: {}", outcome.err);
    }
    let outcome = home.apply(&json!({ "tenant": "acme", "servers": { "x": { "command": "a", "url": "https://b" } } }));
    assert_eq!(outcome.code, 78, "{outcome:?}");
    assert!(outcome.err.contains("acme.yaml"), "{}", outcome.err);
}

#[tokio::test]
async fn what_does_not_work_while_it_runs_is_said_to_whoever_can_act() {
    let servers = [
        ("gone", json!({ "command": "missing" })),
        ("unlisted", json!({ "command": "bash" })),
        ("away", json!({ "url": "http://127.0.0.1:9/mcp" })),
        ("wrong", json!({ "command": "not-mcp" })),
        ("fine", json!({ "command": "scripted", "args": ["--no-odd"] })),
    ];
    let gateway = TestGateway::setup()
        .set(
            "stdio",
            json!({ "commands": {
            "missing": { "path": "/nowhere/program" },
            "not-mcp": { "path": "/bin/echo", "args_prefix": ["hello, I speak no MCP"] },
        } }),
        )
        .tenant(tenant("acme", servers))
        .at_once()
        .start()
        .await;
    let client = gateway.modern("acme");
    wait_until("the good server is there", || async { client.tools().await.len() == 16 }).await;
    for (server, words) in [
        ("gone", "/nowhere/program"),
        ("unlisted", "not on the operator's list"),
        ("away", "the server is not reachable"),
        ("wrong", "the server wrong cannot be asked what it offers: is it running"),
    ] {
        wait_until(format!("the log says what is with {server}"), || async {
            gateway.log().lines().any(|line| line.contains(&format!("\"server\":\"{server}\"")) && line.contains(words))
        })
        .await;
    }
    let outcome = gateway.patchbay(&["check"]);
    assert_eq!(outcome.code, 1, "{outcome:?}");
    assert!(outcome.err.contains("missing") && outcome.err.contains("/nowhere/program"), "{}", outcome.err);

    let wrong = client.ask("tools/list", json!({})).bearer("pb_typo").send(gateway.address).await;
    assert_eq!(wrong.status, 401);
    assert!(wrong.text().await.contains("the key is unknown, expired or revoked"));
    let elsewhere = patchbay_e2e::Ask::get("/mcp").send(gateway.address).await;
    assert_eq!(elsewhere.status, 404);
    assert!(elsewhere.text().await.contains("/t/{tenant}/mcp"));
    let health = patchbay_e2e::Ask::get("/health").send(gateway.address).await;
    assert_eq!((health.status, health.text().await.as_str()), (200, "ok\n"));
}

#[tokio::test]
async fn the_servers_of_an_ide_are_taken_over_and_their_commands_only_when_they_are_trusted() {
    let gateway = TestGateway::setup().tenant(json!({ "tenant": "acme" })).start().await;
    let client = gateway.modern("acme");
    assert_eq!(client.tools().await.len(), 0);
    let scripted = program("fixture-scripted");
    let file = gateway.home().path("mcp.json");
    let servers = json!({ "mcpServers": {
        "My Server": { "command": scripted, "args": ["--stdio", "--no-odd"], "env": { "TOKEN": "import-canary" } },
        "elsewhere": { "url": "http://127.0.0.1:9/mcp" },
    } });
    fs::write(&file, format!("// of an IDE, with comments\n{servers}")).unwrap();
    let file = file.to_str().unwrap();

    let wary = gateway.patchbay(&["import", file, "--tenant", "acme"]);
    assert_eq!(wary.code, 0, "{wary:?}");
    assert!(wary.err.contains(scripted.to_str().unwrap()) && wary.err.contains("--trust-commands"), "{}", wary.err);
    assert!(!(wary.out.clone() + &wary.err).contains("import-canary"), "{wary:?}");
    wait_until("the log says that the command is not allowed", || async {
        gateway.log().contains("not on the operator's list")
    })
    .await;
    assert!(gateway.children().is_empty(), "a command ran that nobody trusts");

    gateway.patchbay(&["import", file, "--tenant", "acme", "--replace", "--trust-commands"]).good();
    wait_until("its tools are listed", || async { client.tools().await.len() == 16 }).await;
    let name = client.tools().await.into_iter().find(|name| name.ends_with("_env")).unwrap();
    let env: Value = serde_json::from_str(client.call(&name, json!({})).await.text()).unwrap();
    assert_eq!(env["TOKEN"], "import-canary");

    // What was taken over is written back as a file that changes nothing.
    let exported = gateway.home().path("exported.yaml");
    let exported = exported.to_str().unwrap();
    gateway.patchbay(&["export", "--tenant", "acme", "-o", exported]).good();
    assert!(!fs::read_to_string(exported).unwrap().contains("import-canary"));
    let again = gateway.patchbay(&["apply", "-f", exported, "--json"]).good();
    assert_eq!(serde_json::from_str::<Value>(&again).unwrap()["changed"], false, "{again}");
    let unknown = gateway.patchbay(&["import", exported, "--tenant", "acme"]);
    assert_ne!(unknown.code, 0, "a file that is none of an IDE's: {unknown:?}");
    let nobody = gateway.patchbay(&["import", "nowhere.json", "--tenant", "acme"]);
    expect("no such file", &nobody, 1, &["nowhere.json cannot be read"]);
}
