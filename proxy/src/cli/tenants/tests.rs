use std::sync::Arc;

use patchbay_config::import_mcp_servers;
use patchbay_core::model::Transport;
use patchbay_store::Store;

use super::{show::Beside, *};

/// A folder with a `patchbay.yaml`, and the store that it names.
struct Place {
    folder: tempfile::TempDir,
    desk: Desk,
}

impl Place {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("patchbay.yaml");
        let data = folder.path().join("data");
        let text = format!("data_dir: {}\nstdio: {{ commands: {{ sh: {{ path: /bin/sh }} }} }}\n", data.display());
        std::fs::write(&path, text).unwrap();
        Self { folder, desk: Desk { given: Some(path), server: None } }
    }

    fn file(&self, name: &str, text: &str) -> PathBuf {
        let path = self.folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        path
    }

    async fn store(&self) -> Arc<dyn Store> {
        self.desk.store().await.unwrap()
    }

    async fn row(&self, slug: &str) -> Option<TenantRow> {
        self.store().await.tenant_load(&slug.parse().unwrap()).await.unwrap()
    }

    async fn api(&self) -> Api {
        Api::open(&self.desk).await.unwrap()
    }

    /// What becomes of a tenant file.
    async fn put(&self, text: &str, condition: If, dry_run: bool) -> anyhow::Result<Outcome> {
        put(&self.api().await, &document(text), condition, dry_run).await
    }

    async fn apply(&self, files: Vec<PathBuf>) -> anyhow::Result<()> {
        Apply { files, dry_run: false, expect_generation: None, json: false }.run(&self.desk).await
    }

    async fn import(&self, import: Import, text: &str) -> anyhow::Result<import::Report> {
        let imported = import_mcp_servers(text, "mcp.json", &|_| Err("no such variable".to_owned())).unwrap();
        import.take(&self.api().await, imported).await
    }

    /// The tenant as the commands show it, as text and as JSON.
    async fn shown(&self, slug: &str) -> [String; 2] {
        let doc = self.api().await.tenant_doc(&slug.parse().unwrap()).await.unwrap();
        let beside = Beside { generation: 1, base: "https://h".to_owned(), keys_active: 1, keys: 2 };
        [show::text(&doc, &beside), show::object(&doc, &beside).to_string()]
    }
}

fn document(text: &str) -> Document {
    let json = patchbay_config::tenant_document(text, "t.yaml", &|_| Err("no such variable".to_owned())).unwrap();
    Document::of("t.yaml".to_owned(), json).unwrap()
}

fn import(tenant: &str) -> Import {
    Import { file: "-".into(), tenant: tenant.parse().unwrap(), trust_commands: false, replace: false, json: false }
}

const ACME: &str = "\
tenant: acme
title: Acme Ltd
servers:
  github:
    url: https://github.example.org/mcp
    headers: { Authorization: Bearer s3cret }
  files: { command: sh, args: [-c, serve], env: { TOKEN: 0ther } }
toolsets:
  dev: { servers: [github] }
";

const MCP_JSON: &str = r#"{ "mcpServers": {
    "github": { "url": "https://other.example.org/mcp" },
    "Time": { "command": "uvx", "args": ["mcp-server-time"] },
    "asks": { "url": "https://asks.example.org/mcp", "headers": { "X-Key": "${input:key}" } }
} }"#;

#[tokio::test]
async fn exported_file_applies_without_a_change_and_shows_no_secret() {
    let place = Place::new();
    place.apply(vec![place.file("acme.yaml", ACME)]).await.unwrap();
    let before = place.row("acme").await.unwrap();
    assert_eq!(before.servers[1].secrets.reveal("header:Authorization"), Some("Bearer s3cret"));

    let out = place.folder.path().join("out.yaml");
    let export = Export { tenant: "acme".parse().unwrap(), output: Some(out.clone()) };
    export.run(&place.desk).await.unwrap();
    let text = std::fs::read_to_string(&out).unwrap();
    assert!(text.contains("${sealed}") && !text.contains("s3cret") && !text.contains("0ther"), "{text}");

    place.apply(vec![out]).await.unwrap();
    let after = place.row("acme").await.unwrap();
    assert_eq!(after.generation, before.generation);
    assert_eq!(after.servers[1].secrets.reveal("header:Authorization"), Some("Bearer s3cret"));
}

#[tokio::test]
async fn nothing_is_written_when_one_of_several_files_is_wrong() {
    let place = Place::new();
    let files = vec![place.file("a.yaml", ACME), place.file("b.yaml", "tenant: B B\n")];
    let error = place.apply(files).await.unwrap_err();
    assert!(error.to_string().contains("b.yaml:1"), "{error}");
    assert!(place.row("acme").await.is_none());
    let twice = vec![place.file("a.yaml", ACME), place.file("c.yaml", ACME)];
    assert!(place.apply(twice).await.unwrap_err().to_string().contains("two of the files are about"));
}

#[tokio::test]
async fn dry_run_shows_and_writes_nothing_and_gives_the_same_errors() {
    let place = Place::new();
    let outcome = place.put(ACME, If::Whatever, true).await.unwrap();
    let diff = &outcome.told.diff;
    assert!(outcome.told.changed && diff.contains("+ tenant acme") && !diff.contains("s3cret"));
    assert_eq!(outcome.sentence(), "acme would be new; nothing was written");
    assert!(place.row("acme").await.is_none());

    let sealed = ACME.replace("Bearer s3cret", "'${sealed}'");
    for dry_run in [true, false] {
        let error = format!("{:#}", place.put(&sealed, If::Whatever, dry_run).await.unwrap_err());
        assert!(error.starts_with("t.yaml: servers.github.headers.Authorization: "), "{error}");
    }

    let applied = place.put(ACME, If::Generation(0), false).await.unwrap();
    assert_eq!(applied.sentence(), format!("acme is at generation {}", applied.told.generation));
    for dry_run in [true, false] {
        let same = place.put(&sealed, If::Whatever, dry_run).await.unwrap();
        assert!(!same.told.changed && same.sentence().ends_with("nothing to change"), "{same:?}");
        for generation in [0, applied.told.generation + 1] {
            let stale = place.put(ACME, If::Generation(generation), dry_run).await.unwrap_err();
            assert!(stale.to_string().contains(&format!("not at {generation}")), "{stale}");
        }
        place.put(ACME, If::Generation(applied.told.generation), dry_run).await.unwrap();
    }
    let gone = place.put(&ACME.replace("acme", "new"), If::Generation(3), false).await.unwrap_err();
    assert!(gone.to_string().contains("there is no tenant new"), "{gone}");
}

#[tokio::test]
async fn a_tenant_whose_secrets_cannot_be_opened_is_made_anew_by_its_file() {
    let place = Place::new();
    place.apply(vec![place.file("acme.yaml", ACME)]).await.unwrap();
    std::fs::write(place.folder.path().join("data/sealing.key"), "another-key-of-more-than-thirty-two-characters").unwrap();
    let told = place.put(ACME, If::Whatever, true).await.unwrap_err().to_string();
    assert!(told.contains("seal"), "{told}");
    let outcome = place.put(ACME, If::Whatever, false).await.unwrap();
    assert!(outcome.told.warnings.iter().any(|text| text.contains("what is different cannot be shown")), "{outcome:?}");
    assert_eq!(place.row("acme").await.unwrap().servers.len(), 2);
}

#[tokio::test]
async fn what_cannot_work_is_said_and_applied_all_the_same() {
    let place = Place::new();
    let text = "\
tenant: acme
servers:
  tools: { command: npx, args: [-y, x] }
  off: { command: uvx, enabled: false }
  shell: { command: sh }
  near: { url: 'https://127.0.0.1:1/mcp' }
  plain: { url: 'http://mcp.example.org/mcp' }
  typo: { builtin: wether }
  lost: { builtin: db, options: { database: 'secret:url' } }
  broken: { builtin: db, options: { database: 'secret:url', timeout_ms: 1 }, secrets: { url: 'postgres://u:s3cret@h/d' } }
";
    let Told { changed, about, warnings, .. } = place.put(text, If::Whatever, false).await.unwrap().told;
    assert!(changed && about.len() == warnings.len());
    let of = |server: &str| {
        let at = about.iter().position(|about| about.server.as_deref() == Some(server))?;
        Some(&warnings[at])
    };
    let tools = about.iter().find(|about| about.server.as_deref() == Some("tools")).unwrap();
    assert_eq!(tools.command.as_deref(), Some("npx"));
    assert!(of("tools").unwrap().contains("`npx`, which is not on the operator's list"));
    assert!(of("near").unwrap().contains("http.allow_private"));
    assert!(of("plain").unwrap().contains("http.allow_http"));
    assert!(of("typo").unwrap().contains("there is no built-in server `wether`; there are: db"));
    assert!(of("lost").unwrap().contains("names the secret `url`, which this server does not have"));
    assert!(of("broken").unwrap().contains("The option `timeout_ms` is 1; expected a number from 10 to 60000"));
    assert!(warnings.iter().all(|text| !text.contains("s3cret")), "{warnings:?}");
    assert!(of("off").is_none() && of("shell").is_none());
}

#[test]
fn limits_that_make_no_plan_beside_those_of_the_gateway_are_doubted() {
    let place = Place::new();
    let text = "tenant: acme\nlimits: { rules: { everybody: { count: 5 } }, weights: { '*/big': 500 } }\n";
    let doc = patchbay_config::tenant_from_yaml(text, "t", &|_| Err(String::new())).unwrap_err().to_string();
    assert!(doc.contains("more than the burst of the limit `everybody`"), "{doc}");
    let doubts = |text: &str, settings: &str| {
        let path = place.file("patchbay.yaml", settings);
        let config = patchbay_config::load(Some(&path), &Environment::default()).unwrap();
        let doc = patchbay_config::tenant_from_yaml(text, "t", &|_| Err(String::new())).unwrap();
        look(&config, &doc, None).doubts.into_iter().map(|doubt| doubt.text).collect::<Vec<_>>()
    };
    let named = "tenant: acme\nlimits: { rules: { everybody: { count: 5 } } }\n";
    let heavy = "tenant: acme\nlimits: { weights: { '*/big': 500 } }\n";
    assert!(doubts(named, "").is_empty() && doubts(heavy, "limits: { principal_burst: 500 }\n").is_empty());
    let [taken] = &doubts(named, "limits: { rules: { everybody: { count: 9 } } }\n")[..] else { panic!() };
    assert!(taken.contains("two limits are called `everybody`"), "{taken}");
    let [burst] = &doubts(heavy, "")[..] else { panic!() };
    assert!(burst.contains("more than the burst of the limit `principal`, which is 400"), "{burst}");
}

#[tokio::test]
async fn built_in_servers_are_asked_whether_they_can_be_used() {
    let place = Place::new();
    let shop = place.folder.path().join("shop.db");
    patchbay_builtin_tools::db::create_sample_shop(&shop).unwrap();
    // Nothing listens on the port.
    let text = format!(
        "tenant: acme
servers:
  shop: {{ builtin: db, options: {{ database: '{}' }} }}
  deep: {{ builtin: db, options: {{ database: 'secret:url', source: books }}, secrets: {{ url: 'postgres://u:s3cret@127.0.0.1:1/d' }} }}
  off: {{ builtin: db, options: {{ database: 'secret:url' }}, secrets: {{ url: 'postgres://u:s3cret@127.0.0.1:1/d' }}, enabled: false }}
",
        shop.display()
    );
    let sealed = text.replace("'postgres://u:s3cret@127.0.0.1:1/d'", "'${sealed}'");
    for (text, dry_run) in [(&text, true), (&text, false), (&sealed, true), (&sealed, false)] {
        let Told { diff, warnings, about, .. } = place.put(text, If::Whatever, dry_run).await.unwrap().told;
        assert!(!diff.contains("s3cret"), "{diff}");
        let ([doubt], [about]) = (&warnings[..], &about[..]) else { panic!("{warnings:?}") };
        assert_eq!(about.server.as_deref(), Some("deep"));
        assert!(doubt.starts_with("the server `deep` cannot be used as it stands: The source `books`: "), "{doubt}");
        assert!(!doubt.contains("s3cret"), "{doubt}");
    }
    let config = place.desk.config().unwrap();
    let told = warnings(&config, &[place.row("acme").await.unwrap()]).await;
    assert!(
        told.len() == 1 && told[0].starts_with("acme: the server `deep` cannot be used as it stands: "),
        "{told:?}"
    );
}

#[tokio::test]
async fn secrets_of_a_built_in_server_are_sealed_kept_and_never_shown() {
    let place = Place::new();
    let text = "\
tenant: acme
servers:
  books: { builtin: db, options: { database: 'secret:url' }, secrets: { url: 'postgres://u:s3cret@127.0.0.1:1/d' } }
";
    place.apply(vec![place.file("acme.yaml", text)]).await.unwrap();
    let before = place.row("acme").await.unwrap();
    let url = Some("postgres://u:s3cret@127.0.0.1:1/d");
    assert_eq!(before.servers[0].secrets.reveal("secret:url"), url);
    for entry in std::fs::read_dir(place.folder.path().join("data")).unwrap() {
        let path = entry.unwrap().path();
        let bytes = if path.is_file() { std::fs::read(&path).unwrap() } else { continue };
        assert!(!bytes.windows(6).any(|part| part == b"s3cret"), "{} has the secret", path.display());
    }
    for shown in place.shown("acme").await {
        assert!(shown.contains("secret:url") && !shown.contains("s3cret"), "{shown}");
    }

    let out = place.folder.path().join("out.yaml");
    Export { tenant: "acme".parse().unwrap(), output: Some(out.clone()) }.run(&place.desk).await.unwrap();
    let exported = std::fs::read_to_string(&out).unwrap();
    assert!(exported.contains("url: ${sealed}") && !exported.contains("s3cret"), "{exported}");
    place.apply(vec![out]).await.unwrap();
    let after = place.row("acme").await.unwrap();
    assert_eq!(after.generation, before.generation);
    assert_eq!(after.servers[0].secrets.reveal("secret:url"), url);
}

#[tokio::test]
async fn import_keeps_what_is_there_and_loses_nothing_of_the_file() {
    let place = Place::new();
    place.apply(vec![place.file("acme.yaml", ACME)]).await.unwrap();
    let report = place.import(import("acme"), MCP_JSON).await.unwrap();
    let names = |slugs: &[Slug]| slugs.iter().map(ToString::to_string).collect::<Vec<_>>();
    assert_eq!(
        (names(&report.taken), names(&report.kept)),
        (vec!["asks".into(), "time".into()], vec!["github".into()])
    );
    assert_eq!(report.untrusted.iter().collect::<Vec<_>>(), ["uvx"]);
    assert!(report.notes.iter().any(|note| note.contains("switched off, since it has no value for header:X-Key")));

    let row = place.row("acme").await.unwrap();
    assert_eq!(row.title.as_deref(), Some("Acme Ltd"));
    let server = |name: &str| row.servers.iter().find(|server| server.slug.as_str() == name).unwrap();
    assert_eq!(server("github").secrets.reveal("header:Authorization"), Some("Bearer s3cret"));
    assert!(server("time").spec.enabled && !server("asks").spec.enabled);
    assert!(place.desk.config().unwrap().stdio.commands.contains_key("sh"));
    assert!(!place.desk.config().unwrap().stdio.commands.contains_key("uvx"));
}

#[tokio::test]
async fn import_replaces_only_when_it_is_told_to() {
    let place = Place::new();
    place.apply(vec![place.file("acme.yaml", ACME)]).await.unwrap();
    let report = place.import(Import { replace: true, ..import("acme") }, MCP_JSON).await.unwrap();
    assert!(report.kept.is_empty() && report.taken.len() == 3);
    let row = place.row("acme").await.unwrap();
    let github = row.servers.iter().find(|server| server.slug.as_str() == "github").unwrap();
    assert!(matches!(&github.spec.transport, Transport::Http { url, .. } if url == "https://other.example.org/mcp"));
    assert!(github.secrets.0.is_empty());
}

#[tokio::test]
async fn commands_are_trusted_only_on_request_and_also_later() {
    let place = Place::new();
    place.import(import("new"), MCP_JSON).await.unwrap();
    let again = place.import(Import { trust_commands: true, ..import("new") }, MCP_JSON).await.unwrap();
    assert_eq!((again.taken.len(), again.kept.len()), (0, 3));
    assert_eq!(again.trusted.iter().collect::<Vec<_>>(), ["uvx"]);
    assert!(place.desk.config().unwrap().stdio.commands.contains_key("uvx"));
    let third = place.import(import("new"), MCP_JSON).await.unwrap();
    assert!(third.trusted.is_empty() && third.untrusted.is_empty());
}

#[tokio::test]
async fn imported_tenant_can_be_exported_and_applied() {
    let place = Place::new();
    place.import(import("new"), MCP_JSON).await.unwrap();
    let out = place.folder.path().join("new.yaml");
    Export { tenant: "new".parse().unwrap(), output: Some(out.clone()) }.run(&place.desk).await.unwrap();
    let before = place.row("new").await.unwrap().generation;
    place.apply(vec![out]).await.unwrap();
    assert_eq!(place.row("new").await.unwrap().generation, before);
}

#[tokio::test]
async fn import_that_breaks_a_rule_of_the_tenant_is_refused_whole() {
    let place = Place::new();
    let one =
        "tenant: one\nservers: { a: { url: 'https://a.example.org/' } }\ntoolsets: { default: { prefix: never } }\n";
    place.apply(vec![place.file("one.yaml", one)]).await.unwrap();
    let error = place.import(import("one"), MCP_JSON).await.unwrap_err();
    assert!(error.to_string().contains("exactly one server"), "{error}");
    assert_eq!(place.row("one").await.unwrap().servers.len(), 1);
}

#[tokio::test]
async fn shown_tenant_names_its_secrets_and_hides_their_values() {
    let place = Place::new();
    place.apply(vec![place.file("acme.yaml", ACME)]).await.unwrap();
    let [text, json] = place.shown("acme").await;
    for shown in [&text, &json] {
        assert!(shown.contains("header:Authorization") && shown.contains("https://h/t/acme/dev/mcp"), "{shown}");
        assert!(!shown.contains("s3cret") && !shown.contains("0ther"), "{shown}");
    }
    assert!(text.contains("keys: 1 active of 2"));
}

#[tokio::test]
async fn tenant_is_deleted_only_with_yes() {
    let place = Place::new();
    place.apply(vec![place.file("acme.yaml", ACME)]).await.unwrap();
    let delete = |yes| TenantCommand::Delete { tenant: "acme".parse().unwrap(), yes }.run(&place.desk);
    assert!(delete(false).await.unwrap_err().to_string().contains("--yes"));
    assert!(place.row("acme").await.is_some());
    delete(true).await.unwrap();
    assert!(place.row("acme").await.is_none());
    assert!(delete(true).await.unwrap_err().to_string().contains("there is no tenant `acme`"));
}
