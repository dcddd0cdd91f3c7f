use patchbay_config::Environment;
use serde_json::{Value, json};

use super::*;

const URL: &str = "http://127.0.0.1:8080/t/acme/mcp";

fn slug(text: &str) -> Slug {
    text.parse().unwrap()
}

fn config(settings: &[(&str, &str)]) -> GatewayConfig {
    patchbay_config::load(None, &settings.iter().copied().collect::<Environment>()).unwrap()
}

fn target(credential: Credential) -> Target {
    Target { name: "acme".into(), url: URL.into(), credential }
}

fn only(client: Client, credential: Credential) -> Value {
    let blocks = client.blocks(&target(credential));
    let block = blocks.iter().find(|block| block.format == Format::Json).unwrap();
    serde_json::from_str(&block.text).unwrap()
}

fn key() -> Credential {
    Credential::Key("pb_abc".into())
}

#[test]
fn what_could_break_out_of_a_block_is_no_key() {
    for bad in
        ["", "pb_", "abc", "pb_a b", "pb_a\"", "pb_a'", "pb_$x", "pb_a\n", "pb_ä", &format!("pb_{}", "a".repeat(300))]
    {
        assert!(check_key(bad).is_err(), "{bad:?}");
    }
    check_key("pb_Az09-_").unwrap();
}

#[test]
fn each_client_that_reads_variables_gets_its_own_reference() {
    let authorization =
        |client, word: &str| only(client, Credential::Reference)[word]["acme"]["headers"]["Authorization"].clone();
    assert_eq!(authorization(Client::Cursor, "mcpServers"), "Bearer ${env:PATCHBAY_KEY}");
    assert_eq!(authorization(Client::VsCode, "servers"), "Bearer ${input:acme-key}");
    assert_eq!(authorization(Client::ClaudeCode, "mcpServers"), "Bearer ${PATCHBAY_KEY}");
    assert_eq!(authorization(Client::Windsurf, "mcpServers"), "Bearer ${env:PATCHBAY_KEY}");
    assert_eq!(authorization(Client::Gemini, "mcpServers"), "Bearer $PATCHBAY_KEY");
}

#[test]
fn each_client_finds_the_address_under_its_own_word() {
    let headers = json!({ "Authorization": "Bearer pb_abc" });
    for (client, expected) in [
        (Client::Cursor, json!({ "mcpServers": { "acme": { "url": URL, "headers": headers } } })),
        (Client::VsCode, json!({ "servers": { "acme": { "type": "http", "url": URL, "headers": headers } } })),
        (Client::ClaudeCode, json!({ "mcpServers": { "acme": { "type": "http", "url": URL, "headers": headers } } })),
        (Client::Windsurf, json!({ "mcpServers": { "acme": { "serverUrl": URL, "headers": headers } } })),
        (Client::Gemini, json!({ "mcpServers": { "acme": { "httpUrl": URL, "headers": headers } } })),
    ] {
        assert_eq!(only(client, key()), expected, "{client:?}");
    }
}

#[test]
fn vs_code_asks_for_the_key_that_was_not_given() {
    let file = only(Client::VsCode, Credential::Reference);
    assert_eq!(file["inputs"][0]["type"], "promptString");
    assert_eq!(file["inputs"][0]["id"], "acme-key");
    assert_eq!(file["inputs"][0]["password"], true);
    assert_eq!(only(Client::VsCode, key()).get("inputs"), None);
}

#[test]
fn claude_code_gets_a_command_line_of_whole_words() {
    let line = |credential| Client::ClaudeCode.blocks(&target(credential))[0].text.clone();
    assert_eq!(
        line(key()),
        format!("claude mcp add --transport http acme {URL} --header 'Authorization: Bearer pb_abc'")
    );
    assert!(line(Credential::Reference).ends_with("--header 'Authorization: Bearer pb_YOUR_KEY'"));
    assert_eq!(line(Credential::None), format!("claude mcp add --transport http acme {URL}"));
    assert_eq!(clients::quoted("it's"), r"'it'\''s'");
}

#[test]
fn claude_desktop_goes_through_mcp_remote_without_a_blank_in_an_argument() {
    let file = only(Client::ClaudeDesktop, key());
    let server = &file["mcpServers"]["acme"];
    assert_eq!(server["command"], "npx");
    let args = json!([
        "-y",
        "mcp-remote",
        URL,
        "--transport",
        "http-only",
        "--header",
        "Authorization:${PATCHBAY_AUTHORIZATION}"
    ]);
    assert_eq!(server["args"], args);
    assert_eq!(server["env"]["PATCHBAY_AUTHORIZATION"], "Bearer pb_abc");
    let far = Target { url: "http://10.0.0.5:8080/t/acme/mcp".into(), ..target(Credential::None) };
    assert!(Client::ClaudeDesktop.blocks(&far)[0].text.contains("--allow-http"));
}

#[test]
fn codex_gets_three_lines_of_toml() {
    let lines = |credential| Client::Codex.blocks(&target(credential))[0].text.clone();
    let head = format!("[mcp_servers.acme]\nurl = \"{URL}\"");
    assert_eq!(lines(Credential::Reference), format!("{head}\nbearer_token_env_var = \"PATCHBAY_KEY\""));
    assert_eq!(lines(key()), format!("{head}\nhttp_headers = {{ Authorization = \"Bearer pb_abc\" }}"));
    assert_eq!(lines(Credential::None), head);
}

#[test]
fn an_open_toolset_needs_no_credential_in_any_block() {
    for client in Client::ALL {
        for block in client.blocks(&target(Credential::None)) {
            let text = block.text.to_lowercase();
            assert!(!text.contains("authorization") && !text.contains("patchbay_key"), "{text}");
        }
    }
}

#[test]
fn the_address_is_the_public_one_or_else_the_listener_s() {
    let at = |settings: &[(&str, &str)]| {
        let config = config(settings);
        base_of(&config, config.listen_mcp)
    };
    assert_eq!(at(&[]), "http://127.0.0.1:8080");
    assert_eq!(at(&[("PATCHBAY_LISTEN_MCP", "0.0.0.0:81")]), "http://127.0.0.1:81");
    assert_eq!(at(&[("PATCHBAY_LISTEN_MCP", "[::1]:81")]), "http://[::1]:81");
    assert_eq!(at(&[("PATCHBAY_PUBLIC_URL", "https://tools.example.org/")]), "https://tools.example.org");
    assert_eq!(at(&[("PATCHBAY_PUBLIC_URL", "https://example.org/mcp/")]), "https://example.org/mcp");
    assert_eq!(url_of("https://h", &slug("acme"), &slug("default")), "https://h/t/acme/mcp");
    assert_eq!(url_of("https://h", &slug("acme"), &slug("dev")), "https://h/t/acme/dev/mcp");
}

#[test]
fn names_are_short_and_differ_between_toolsets() {
    assert_eq!(name_of(&slug("acme"), &slug("default")), "acme");
    assert_eq!(name_of(&slug("acme"), &slug("dev")), "acme-dev");
    let long = slug("a-tenant-with-a-long-name");
    let (one, two) = (name_of(&long, &slug("one")), name_of(&long, &slug("two")));
    assert!(one.len() <= NAME_CHARS_MAX && two.len() <= NAME_CHARS_MAX && one != two, "{one} {two}");
    assert_eq!(one, name_of(&long, &slug("one")));
}

#[test]
fn a_key_is_in_no_debug_text() {
    assert!(!format!("{:?}", target(key())).contains("pb_abc"));
}

fn sign_in(client_id: Option<&str>, callback_port: Option<u16>) -> Credential {
    Credential::SignIn(SignIn { client_id: client_id.map(str::to_owned), callback_port, by_itself: true })
}

#[test]
fn who_signs_in_gets_no_header_in_any_block() {
    for client in Client::ALL {
        for block in client.blocks(&target(sign_in(None, None))) {
            let text = block.text.to_lowercase();
            assert!(!text.contains("authorization") && !text.contains("patchbay_key"), "{text}");
        }
    }
}

#[test]
fn a_registered_client_id_stands_where_each_client_looks_for_it() {
    let with_id = || sign_in(Some("ide"), Some(3118));
    assert_eq!(only(Client::Cursor, with_id())["mcpServers"]["acme"]["auth"], json!({ "CLIENT_ID": "ide" }));
    assert_eq!(only(Client::Gemini, with_id())["mcpServers"]["acme"]["oauth"]["clientId"], "ide");
    let claude = Client::ClaudeCode.blocks(&target(with_id()));
    assert_eq!(claude.len(), 1, "a file has no place for the id");
    assert!(claude[0].text.ends_with(" --client-id ide --callback-port 3118"), "{}", claude[0].text);
    let args = only(Client::ClaudeDesktop, with_id())["mcpServers"]["acme"]["args"].clone();
    assert_eq!((args[3].as_str(), args[7].as_str()), (Some("3118"), Some(r#"{"client_id":"ide"}"#)), "{args}");
    let codex = Client::Codex.blocks(&target(with_id()));
    assert_eq!(codex[1].text, "codex mcp login acme");
}
