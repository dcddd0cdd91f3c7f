//! The command line with `--server`: the same commands, over the admin API of a running gateway and with an admin key, as beside
//! its store.

use std::{fs, path::PathBuf};

use patchbay_e2e::{
    Outcome, TestGateway,
    process::{Running, command, run},
    programs::program,
    setup::{scripted, tenant},
    wait_until,
};
use serde_json::{Value, json};
use tempfile::TempDir;

/// Another machine: a folder with nothing of the gateway's, and an admin key in a file.
struct Elsewhere {
    folder: TempDir,
    server: String,
}

impl Elsewhere {
    /// With a key of this role, made beside the store.
    fn new(gateway: &TestGateway, role: &[&str]) -> Self {
        let args = [&["admin-key", "create", "--label", "e2e", "--json", "--role"], role].concat();
        let made: Value = serde_json::from_str(&gateway.patchbay(&args).good()).unwrap();
        let folder = TempDir::new().unwrap();
        fs::write(folder.path().join("admin.key"), made["key"].as_str().unwrap()).unwrap();
        Self { folder, server: format!("http://{}", gateway.admin) }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn key(&self) -> String {
        fs::read_to_string(self.path("admin.key")).unwrap()
    }

    /// Runs `patchbay` without a key.
    fn keyless(&self, environment: &[(&str, &str)], args: &[&str]) -> Outcome {
        let variables = environment.iter().copied();
        run(command(&program("patchbay"), args).envs(variables).current_dir(self.folder.path()))
    }

    fn patchbay(&self, args: &[&str]) -> Outcome {
        let named = ["--server", &self.server, "--admin-key-file", "admin.key"];
        self.keyless(&[], &[args, &named].concat())
    }

    fn write(&self, name: &str, text: &str) -> String {
        fs::write(self.path(name), text).unwrap();
        self.path(name).to_str().unwrap().to_owned()
    }
}

async fn world() -> TestGateway {
    TestGateway::setup()
        .tenant(tenant("acme", [("one", scripted(&["--no-odd"])), ("two", scripted(&["--no-odd"]))]))
        .tenant(tenant("globex", [("one", scripted(&["--no-odd"]))]))
        .start()
        .await
}

#[tokio::test]
async fn commands_say_the_same_over_the_network_as_beside_the_store() {
    let gateway = world().await;
    let elsewhere = Elsewhere::new(&gateway, &["platform_admin"]);
    gateway.modern("acme").call("one_echo", json!({})).await;
    wait_until("the call is on record", || async {
        gateway.audit().await.iter().any(|record| record["action"] == "tool.call")
    })
    .await;
    let id = gateway.new_key("acme", "other", &[]).id;
    for args in [
        &["tenant", "list"][..],
        &["tenant", "list", "--json"],
        &["tenant", "show", "acem"],
        &["export", "--tenant", "acme"],
        &["export", "--tenant", "acem"],
        &["key", "list", "--tenant", "acme"],
        &["key", "list", "--tenant", "acme", "--json"],
        &["key", "create", "--tenant", "acme", "--label", "x", "--toolset", "narow"],
        &["key", "revoke", "--tenant", "acme", "pb_nothing"],
        &["token", "revoked", "--tenant", "acme"],
        &["token", "revoked", "--tenant", "acme", "--json"],
        &["token", "revoke", "--tenant", "acme", "--jti", "x"],
        &["token", "restore", "--tenant", "acme", "0123456789abcdef0123456789abcdef"],
        &["audit", "query", "--tenant", "acme", "--action", "tool.call", "--json"],
        &["audit", "query", "--tenant", "acme", "--action", "tool.call"],
        &["audit", "query", "--tenant", "acme", "--action", "none.such"],
        &["audit", "query", "--tenant", "nobody"],
        &["audit", "key"],
        &["admin-key", "list", "--tenant", "acme"],
        &["sealing-key", "status"],
        &["key", "revoke", "--tenant", "acme", &id],
        &["key", "revoke", "--tenant", "acme", &id],
        &["tenant", "delete", "globex"],
    ] {
        let (here, there) = (gateway.patchbay(args), elsewhere.patchbay(args));
        let is_again = args.contains(&&*id);
        assert_eq!((there.code, is_again || there.out == here.out), (here.code, true), "{args:?}: {here:?} {there:?}");
        assert_eq!(there.err, here.err, "{args:?}");
    }
    // The address of toolsets: beside the store the configuration says it, elsewhere the gateway.
    let shown: Value = serde_json::from_str(&elsewhere.patchbay(&["tenant", "show", "acme", "--json"]).good()).unwrap();
    assert_eq!(shown["toolsets"][0]["url"], format!("http://{}/t/acme/mcp", gateway.address));
    let connected = elsewhere.patchbay(&["connect", "--tenant", "acme"]).good();
    assert!(connected.contains(&format!("http://{}/t/acme/mcp", gateway.address)), "{connected}");

    let verified = elsewhere.patchbay(&["audit", "verify"]);
    assert!(verified.code == 0 && verified.out.contains("as they were written"), "{verified:?}");
    let one = elsewhere.patchbay(&["audit", "verify", "--no-tenant", "--json"]).good();
    let chains: Value = serde_json::from_str(&one).unwrap();
    assert!(
        chains.as_array().unwrap().iter().all(|chain| chain["tenant"].is_null() && chain["fault"].is_null()),
        "{one}"
    );
    elsewhere.patchbay(&["audit", "export", "--tenant", "acme", "--out", "acme.jsonl"]).good();
    let key = elsewhere.patchbay(&["audit", "key"]).good();
    let offline = elsewhere.keyless(&[], &["audit", "verify", "--file", "acme.jsonl", "--key", key.trim()]);
    assert!(offline.code == 0 && offline.out.contains("as they were written"), "{offline:?}");
    let kept = elsewhere.patchbay(&["audit", "verify", "--tenant", "acme", "--checkpoints", "acme.jsonl"]);
    assert_eq!(kept.code, 0, "{kept:?}");
    let standing = elsewhere.patchbay(&["limits", "show", "--tenant", "acme"]).good();
    assert!(standing.starts_with("acme / default: counted by this process alone"), "{standing}");
    let rotated = gateway.new_key("acme", "rotated", &[]);
    let new: Value =
        serde_json::from_str(&elsewhere.patchbay(&["key", "rotate", "--tenant", "acme", &rotated.id, "--json"]).good())
            .unwrap();
    assert!(new["key"].as_str().unwrap() != rotated.text && new["label"] == "rotated", "{new}");
}

#[tokio::test]
async fn tenants_are_made_and_changed_from_elsewhere_and_secrets_are_looked_up_there() {
    let gateway = world().await;
    let elsewhere = Elsewhere::new(&gateway, &["platform_admin"]);
    let file = elsewhere.write(
        "team.yaml",
        "tenant: team\nservers:\n  one: { command: scripted, args: [--no-odd], env: { TOKEN: '${env:TEAM_TOKEN}', WORD: '${file:word.txt}' } }\n",
    );
    elsewhere.write("word.txt", "word-canary-$${not}\n");
    let apply = |more: &[&str]| {
        let named = ["apply", "-f", &file, "--json", "--server", &elsewhere.server, "--admin-key-file", "admin.key"];
        elsewhere.keyless(&[("TEAM_TOKEN", "env-canary")], &[&named, more].concat())
    };
    let rehearsed: Value = serde_json::from_str(&apply(&["--dry-run"]).good()).unwrap();
    assert_eq!((&rehearsed["generation"], &rehearsed["changed"]), (&json!(0), &json!(true)));
    let made: Value = serde_json::from_str(&apply(&["--expect-generation", "0"]).good()).unwrap();
    assert_eq!((&made["tenant"], &made["changed"]), (&json!("team"), &json!(true)));
    assert!(apply(&["--expect-generation", "0"]).err.contains("not at 0"));
    let same: Value = serde_json::from_str(&apply(&[]).good()).unwrap();
    assert_eq!(same["changed"], false);

    // The server has them.
    let key = gateway.new_key("team", "e2e", &[]);
    let client = patchbay_e2e::Client::modern(gateway.address, "/t/team/mcp", Some(&key.text));
    wait_until("the key opens the door", || async {
        client.ask("tools/list", json!({})).send(gateway.address).await.status == 200
    })
    .await;
    wait_until("the tools are there", || async { client.tools().await.iter().any(|name| name == "one_env") }).await;
    let env: Value = serde_json::from_str(client.call("one_env", json!({})).await.text()).unwrap();
    assert_eq!(
        (env["TOKEN"].as_str(), env["WORD"].as_str().map(str::trim)),
        (Some("env-canary"), Some("word-canary-$${not}"))
    );

    // What comes back has none, and changes nothing.
    let exported = elsewhere.patchbay(&["export", "--tenant", "team", "-o", "back.yaml"]).good();
    assert!(exported.contains("back.yaml has team"), "{exported}");
    assert!(!fs::read_to_string(elsewhere.path("back.yaml")).unwrap().contains("canary"));
    let again: Value =
        serde_json::from_str(&elsewhere.patchbay(&["apply", "-f", "back.yaml", "--json"]).good()).unwrap();
    assert_eq!(again["changed"], false);

    // Faults are named by file and line before anything is sent, and by field when the gateway finds them.
    elsewhere.write("bad.yaml", "tenant: team\nservers:\n  one: { comand: x }\n");
    let bad = elsewhere.patchbay(&["apply", "-f", "bad.yaml"]);
    assert!(bad.code == 78 && bad.err.contains("bad.yaml:3:"), "{bad:?}");
    elsewhere.write(
        "sealed.yaml",
        "tenant: team\nservers:\n  new: { url: 'https://x.example.org/', headers: { A: '${sealed}' } }\n",
    );
    let sealed = elsewhere.patchbay(&["apply", "-f", "sealed.yaml"]);
    assert!(sealed.code == 1 && sealed.err.contains("sealed.yaml: servers.new.headers.A: "), "{sealed:?}");
    let unset = elsewhere.patchbay(&["apply", "-f", &file]);
    assert!(unset.code == 78 && unset.err.contains("TEAM_TOKEN"), "{unset:?}");

    let servers = json!({ "mcpServers": { "time": { "command": "uvx", "args": ["x"] }, "away": { "url": "http://127.0.0.1:9/mcp" } } });
    elsewhere.write("mcp.json", &servers.to_string());
    let taken = elsewhere.patchbay(&["import", "mcp.json", "--tenant", "team", "--json"]);
    let report: Value = serde_json::from_str(&taken.clone().good()).unwrap();
    assert_eq!(
        (&report["taken"], &report["commands_untrusted"]),
        (&json!(["away", "time"]), &json!(["uvx"])),
        "{taken:?}"
    );
    let trusting = elsewhere.patchbay(&["import", "mcp.json", "--tenant", "team", "--trust-commands"]);
    assert!(trusting.code == 1 && trusting.err.contains("on the machine of the gateway"), "{trusting:?}");
    elsewhere.patchbay(&["tenant", "delete", "team", "--yes"]).good();
    assert!(!gateway.patchbay(&["tenant", "list"]).good().contains("team"));
}

#[tokio::test]
async fn an_admin_of_one_tenant_touches_no_other() {
    let gateway = world().await;
    let own = Elsewhere::new(&gateway, &["tenant_admin", "--tenant", "acme"]);
    let listed: Value = serde_json::from_str(&own.patchbay(&["tenant", "list", "--json"]).good()).unwrap();
    assert_eq!(listed.as_array().unwrap().iter().map(|tenant| &tenant["tenant"]).collect::<Vec<_>>(), ["acme"]);
    own.patchbay(&["key", "create", "--tenant", "acme", "--label", "x"]).good();
    let globex = own.write("globex.yaml", "tenant: globex\n");
    let untouched = gateway.patchbay(&["export", "--tenant", "globex"]).good();
    for args in [
        &["tenant", "show", "globex"][..],
        &["tenant", "delete", "globex", "--yes"],
        &["export", "--tenant", "globex"],
        &["apply", "-f", &globex],
        &["key", "create", "--tenant", "globex", "--label", "x"],
        &["key", "list", "--tenant", "globex"],
        &["token", "revoked", "--tenant", "globex"],
        &["audit", "query", "--tenant", "globex"],
        &["audit", "verify", "--tenant", "globex"],
        &["audit", "export", "--tenant", "globex"],
        &["limits", "show", "--tenant", "globex"],
        &["server", "health", "--tenant", "globex"],
        &["session", "list", "--tenant", "globex"],
    ] {
        let refused = own.patchbay(args);
        assert_eq!(refused.code, 1, "{args:?}: {refused:?}");
        assert_eq!(refused.err, "patchbay: there is no tenant `globex`; there are: acme\n", "{args:?}");
    }
    for args in [&["audit", "query"][..], &["sealing-key", "reseal"], &["tenant", "delete", "acme", "--yes"]] {
        let refused = own.patchbay(args);
        assert!(refused.code == 1 && refused.err.contains("platform_admin"), "{args:?}: {refused:?}");
    }
    assert_eq!(gateway.patchbay(&["export", "--tenant", "globex"]).good(), untouched);
    assert_eq!(
        gateway
            .patchbay(&["audit", "query", "--tenant", "globex", "--action", "audit.query", "--actor", "admin_key:*"])
            .good(),
        ""
    );

    // A key that is revoked opens nothing any more.
    let keys: Value = serde_json::from_str(&gateway.patchbay(&["admin-key", "list", "--json"]).good()).unwrap();
    let own_key = keys.as_array().unwrap().iter().find(|key| key["tenant"] == "acme").unwrap();
    gateway.patchbay(&["admin-key", "revoke", own_key["id"].as_str().unwrap()]).good();
    let refused = own.patchbay(&["tenant", "list"]);
    assert!(refused.code == 1 && refused.err.contains("does not take this admin key"), "{refused:?}");
}

#[tokio::test]
async fn servers_and_sessions_are_asked_for_where_a_gateway_runs() {
    let gateway = world().await;
    let elsewhere = Elsewhere::new(&gateway, &["platform_admin"]);
    let health = elsewhere.patchbay(&["server", "health", "--tenant", "acme"]).good();
    assert!(health.lines().count() == 2 && health.lines().all(|line| line.contains("stdio")), "{health}");
    let one: Value =
        serde_json::from_str(&elsewhere.patchbay(&["server", "health", "--tenant", "acme", "one", "--json"]).good())
            .unwrap();
    assert_eq!(one["server"], "one");
    let catalog = elsewhere.patchbay(&["server", "catalog", "--tenant", "acme", "one", "--kind", "tool"]).good();
    assert!(catalog.contains("default: as one_echo"), "{catalog}");
    let refreshed = elsewhere.patchbay(&["server", "refresh", "--tenant", "acme", "one"]).good();
    assert_eq!(refreshed, "one answered: its lists are as before\n");
    let probed = elsewhere.patchbay(&["server", "probe", "--tenant", "acme", "one"]).good();
    assert!(probed.contains("16 tools") && probed.contains("  echo"), "{probed}");
    let file = elsewhere.write("acme.yaml", "tenant: acme\nservers:\n  away: { url: 'http://127.0.0.1:9/mcp' }\n");
    let away = elsewhere.patchbay(&["server", "probe", "--tenant", "acme", "away", "-f", &file]);
    assert!(away.code == 1 && away.err.contains("away cannot be used: "), "{away:?}");
    let nobody = elsewhere.patchbay(&["server", "health", "--tenant", "acme", "nobody"]);
    assert!(nobody.code == 1 && nobody.err.contains("acme has no server `nobody`"), "{nobody:?}");

    let client = gateway.legacy("acme").await;
    client.tools().await;
    let sessions: Value =
        serde_json::from_str(&elsewhere.patchbay(&["session", "list", "--tenant", "acme", "--json"]).good()).unwrap();
    let ids: Vec<_> = sessions.as_array().unwrap().iter().map(|session| session["id"].as_str().unwrap()).collect();
    let [id] = ids[..] else { panic!("{sessions}") };
    elsewhere.patchbay(&["session", "end", "--tenant", "acme", id]).good();
    assert_eq!(client.ask("tools/list", json!({})).send(gateway.address).await.status, 404);
    let odd = elsewhere.patchbay(&["session", "end", "--tenant", "acme", "odd/../id"]);
    assert!(odd.code == 1 && odd.err.contains("is no id of a session"), "{odd:?}");

    // Beside the store nobody knows it.
    for args in [&["server", "health", "--tenant", "acme"][..], &["session", "list", "--tenant", "acme"]] {
        let told = gateway.patchbay(args);
        assert!(told.code == 1 && told.err.contains("--server URL"), "{args:?}: {told:?}");
    }
}

#[tokio::test]
async fn whoever_cannot_ask_is_told_why_in_a_sentence() {
    let gateway = world().await;
    let elsewhere = Elsewhere::new(&gateway, &["platform_admin"]);
    let server = elsewhere.server.as_str();
    let nobody = {
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        format!("http://{}", port.local_addr().unwrap())
    };
    let public = format!("http://{}", gateway.address);
    let list = ["tenant", "list", "--server"];
    let key = elsewhere.key();
    for (what, environment, args, words) in [
        ("no key", &[][..], &[server][..], "there is no admin key in PATCHBAY_ADMIN_KEY"),
        ("a key that is none", &[("PATCHBAY_ADMIN_KEY", "pba_wrong")], &[server], "does not take this admin key"),
        ("a file that is not there", &[], &[server, "--admin-key-file", "nowhere"], "nowhere cannot be read"),
        ("nobody there", &[("PATCHBAY_ADMIN_KEY", &*key)], &[&*nobody], "cannot be reached: is the gateway running"),
        (
            "another listener",
            &[("PATCHBAY_ADMIN_KEY", &*key)],
            &[&*public],
            "does not answer like a gateway's admin API",
        ),
        (
            "no address",
            &[("PATCHBAY_ADMIN_KEY", &*key)],
            &["acme"],
            "expected the address of a gateway's admin listener",
        ),
        ("over an open line", &[("PATCHBAY_ADMIN_KEY", &*key)], &["http://192.0.2.1"], "--insecure-http"),
    ] {
        let told = elsewhere.keyless(environment, &[&list, args].concat());
        assert_eq!(told.code, 1, "{what}: {told:?}");
        assert!(told.err.contains(words) && told.err.lines().count() == 1, "{what}: {told:?}");
        assert!(!told.err.contains(&*key), "{what}: {told:?}");
    }
    // What works on this machine does not do as if it worked elsewhere.
    for args in [
        &["check"][..],
        &["migrate"],
        &["audit", "retain", "--days", "1"],
        &["token", "explain", "--tenant", "acme"],
        &["serve"],
    ] {
        let told = elsewhere.patchbay(args);
        assert!(told.code == 1 && told.err.contains("works on this machine"), "{args:?}: {told:?}");
    }
    assert!(!elsewhere.path("patchbay-data").exists(), "something was made on the wrong machine");

    // The variables name the gateway and the key, and nobody sees the key among the arguments of the process.
    let variables = [("PATCHBAY_SERVER", server), ("PATCHBAY_ADMIN_KEY", &*key)];
    let listed = elsewhere.keyless(&variables, &["tenant", "list"]).good();
    assert!(listed.contains("acme") && listed.contains("globex"), "{listed}");
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let waits = format!("http://{}", silent.local_addr().unwrap());
    let args = ["tenant", "list", "--server", &waits, "--admin-key-file", "admin.key"];
    let mut running = Running::start(command(&program("patchbay"), args).current_dir(elsewhere.folder.path()));
    let (_asked, _) = silent.accept().unwrap();
    let line = fs::read(format!("/proc/{}/cmdline", running.pid())).unwrap();
    assert!(!String::from_utf8_lossy(&line).contains("pba_"));
    running.kill();
}
