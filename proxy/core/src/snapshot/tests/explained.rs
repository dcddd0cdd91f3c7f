//! What an admin is told of what is shown and what is not is what clients see.

use super::*;
use crate::snapshot::{ItemKind, LeftOut, Reason, explain};

fn explained(tenant: &Tenant, server: &str, toolset: Option<&str>) -> Vec<Explained> {
    explain(&tenant.row, &tenant.parts, &tenant.options, &slug(server), toolset.map(slug).as_ref()).unwrap()
}

/// What becomes of a tool in the toolset `default`.
fn tool_of(tenant: &Tenant, server: &str, native: &str) -> Result<String, LeftOut> {
    let items = explained(tenant, server, None);
    let item = items.into_iter().find(|item| item.kind == ItemKind::Tool && item.native == native).unwrap();
    match item.left_out {
        Some(left_out) => Err(left_out),
        None => item.places.into_iter().next().unwrap().shown,
    }
}

fn reason(tenant: &Tenant, server: &str, native: &str) -> Reason {
    tool_of(tenant, server, native).unwrap_err().reason
}

#[test]
fn every_way_to_be_left_out_has_its_reason_and_names_the_rule() {
    let page = json!({"name": "page", "inputSchema": {"type": "object"}, "_meta": {"ui": {"visibility": ["app"]}}});
    let task = json!({"name": "task", "inputSchema": {"type": "object"}, "execution": {"taskSupport": "required"}});
    let mut odd = part(&["a", "b", "c", "hidden", "twice", "twice", "z1", "z2"]);
    odd.tools.extend([page.to_string(), task.to_string(), json!({"name": "broken"}).to_string()]);
    let tenant = Tenant::new()
        .with("odd", odd)
        .server("two", &["x"])
        .spec("odd", |spec| spec.tools.deny = strings(&["hid*"]))
        .toolset(|toolset| {
            toolset.tools.deny = strings(&["odd/b"]);
            toolset.tools_max = Some(4);
            toolset.keep_first = strings(&["two/*"]);
        });
    assert_eq!(tool_of(&tenant, "odd", "a"), Ok("odd_a".to_owned()));
    let hidden = tool_of(&tenant, "odd", "hidden").unwrap_err();
    assert_eq!(hidden.reason, Reason::ServerRules);
    assert!(hidden.detail.contains("`hid*`"), "{hidden:?}");
    for (native, expected) in [
        ("b", Reason::ToolsetRules),
        ("page", Reason::PageOnly),
        ("task", Reason::TaskOnly),
        ("broken", Reason::Invalid),
        ("z1", Reason::ToolsMax),
        ("z2", Reason::ToolsMax),
    ] {
        assert_eq!(reason(&tenant, "odd", native), expected, "{native}");
    }
    let twice: Vec<_> = explained(&tenant, "odd", None).into_iter().filter(|item| item.native == "twice").collect();
    assert_eq!(twice.len(), 2, "once as it is shown and once as it is left out");
    let left_out = twice.iter().find_map(|item| item.left_out.as_ref()).unwrap();
    assert_eq!(left_out.reason, Reason::Duplicate);
}

#[test]
fn what_comes_after_the_gateways_own_bound_is_named_one_by_one() {
    let mut tenant = Tenant::new().server("one", &["a", "b", "c"]);
    tenant.options.items_max = 1;
    assert!(tool_of(&tenant, "one", "a").is_ok());
    assert_eq!((reason(&tenant, "one", "b"), reason(&tenant, "one", "c")), (Reason::TooMany, Reason::TooMany));
}

#[test]
fn what_is_told_is_what_clients_see() {
    let mut one = part(&["get", "put.it", "ask"]);
    one.prompts = vec![json!({"name": "p q"}).to_string()];
    one.resources = vec![resource("https://same.example/"), resource("file:///same"), resource("file:///own")];
    one.templates = vec![json!({"uriTemplate": "file:///{x", "name": "bad"}).to_string()];
    one.skills = vec![skill("skill://a/SKILL.md"), skill("repo://a/SKILL.md"), skill("file:///SKILL.txt")];
    let mut two = part(&["get"]);
    two.skills = vec![skill("skill://a/SKILL.md"), skill("repo://a/SKILL.md")];
    for part in [&mut one, &mut two] {
        part.capabilities = SKILLED.into();
    }
    two.resources = vec![resource("https://same.example/"), resource("file:///same")];
    let tenant = Tenant::new().with("one", one).with("two", two).toolset(|toolset| {
        toolset.tools.rename = [("one/get".to_owned(), "fetch".to_owned())].into();
        toolset.tools.deny = strings(&["*/ask"]);
    });
    let view = tenant.view();
    let (mut tools, mut prompts, mut resources, mut skills) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for server in ["one", "two"] {
        for item in explained(&tenant, server, Some("default")) {
            let shown = item.places.into_iter().find_map(|place| place.shown.ok());
            match item.kind {
                ItemKind::Tool => tools.extend(shown),
                ItemKind::Prompt => prompts.extend(shown),
                ItemKind::Resource => resources.extend(shown),
                ItemKind::Skill => skills.extend(shown),
                ItemKind::Template => assert_eq!(item.left_out.unwrap().reason, Reason::Template),
            }
        }
    }
    let sorted = |mut names: Vec<String>| {
        names.sort();
        names
    };
    assert_eq!(sorted(tools), listed(&view.lists.tools, Era::Modern, "tools", "name"));
    assert_eq!(sorted(prompts), listed(&view.lists.prompts, Era::Modern, "prompts", "name"));
    assert_eq!(sorted(resources), sorted(listed(&view.lists.resources, Era::Modern, "resources", "uri")));
    assert_eq!(sorted(skills), listed(&view.lists.skills, Era::Modern, "skills", "uri"));
    let taken = explained(&tenant, "two", None).into_iter().find(|item| item.native.starts_with("https:")).unwrap();
    assert_eq!(taken.places[0].shown.as_ref().unwrap_err().reason, Reason::UriTaken);
}

#[test]
fn a_server_that_is_off_or_elsewhere_has_no_place() {
    let tenant = Tenant::new().server("one", &["a"]).server("two", &["b"]);
    let off = tenant.clone().spec("one", |spec| spec.enabled = false);
    assert!(explained(&off, "one", None).is_empty() && explained(&off, "none", None).is_empty());
    let elsewhere = tenant.toolset(|toolset| toolset.servers = Some(vec![slug("two")]));
    let items = explained(&elsewhere, "one", None);
    assert_eq!((items.len(), items[0].places.len()), (1, 0));
}
