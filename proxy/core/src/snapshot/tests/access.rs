//! Tools that read and tools that write: how they are told apart, what tokens need for them, and the view without the latter.

use super::*;
use crate::access::ScopeRules;

fn hinted(name: &str, annotations: &str) -> String {
    format!(r#"{{"name":"{name}","inputSchema":{{"type":"object"}},"annotations":{annotations}}}"#)
}

/// What a server of that name and kind lists of itself: one tool for each way of saying that it only reads, or of not saying it.
fn hints() -> CatalogPart {
    let tools = [
        tool("silent"),
        hinted("reads", r#"{"readOnlyHint":true}"#),
        hinted("writes", r#"{"readOnlyHint":false}"#),
        hinted("nothing", "null"),
        hinted("text", r#"{"readOnlyHint":"true"}"#),
        hinted("twice", r#"{"readOnlyHint":true,"readOnlyHint":false}"#),
        hinted("deep", r#"{"x":{"readOnlyHint":true}}"#),
    ];
    CatalogPart { tools: tools.to_vec(), ..part(&[]) }
}

/// The native names of the tools that are taken to read only.
fn reading(tenant: &Tenant) -> Vec<String> {
    let view = tenant.view();
    let reads = view.tools.values().filter(|route| route.class == ToolClass::Read);
    let mut names: Vec<_> = reads.map(|route| route.native.to_string()).collect();
    names.sort_unstable();
    names
}

fn builtin(spec: &mut ServerSpec) {
    spec.transport = Transport::Builtin { name: "db".into(), options: Value::Null, secrets: Vec::new() };
}

#[test]
fn a_server_is_not_believed_that_its_tools_only_read_unless_it_is_part_of_the_program_or_trusted() {
    let tenant = Tenant::new().with("s", hints());
    assert!(reading(&tenant).is_empty());
    assert_eq!(reading(&tenant.clone().spec("s", builtin)), ["reads"]);
    let trust = |trust| move |spec: &mut ServerSpec| spec.classes.trust_hints = Some(trust);
    assert_eq!(reading(&tenant.clone().spec("s", trust(true))), ["reads"]);
    assert!(reading(&tenant.spec("s", builtin).spec("s", trust(false))).is_empty());
}

#[test]
fn the_operators_word_is_stronger_than_the_servers_and_write_is_stronger_than_read() {
    let tenant = Tenant::new().with("s", hints()).spec("s", builtin).spec("s", |spec| {
        spec.classes.read = strings(&["writ*", "silent"]);
        spec.classes.write = strings(&["s*", "rea?s"]);
    });
    assert_eq!(reading(&tenant), ["writes"]);
}

#[test]
fn a_broken_glob_of_classes_or_scopes_is_refused_with_its_place() {
    let refused = |tenant: Tenant| tenant.build().expect_err("a broken glob").to_string();
    let server = || Tenant::new().server("s", &["a"]);
    for said in [
        refused(server().spec("s", |spec| spec.classes.read = strings(&["a["]))),
        refused(server().spec("s", |spec| spec.classes.write = strings(&["a["]))),
    ] {
        assert!(said.contains("server `s`") && said.contains("`a[`"), "{said}");
    }
    let scopes = |toolset: &mut ToolsetSpec| {
        toolset.rules.scopes.tools.insert("s/a[".into(), strings(&["x"]));
    };
    let said = refused(server().toolset(scopes));
    assert!(said.contains("toolset `default`") && said.contains("`s/a[`"), "{said}");
}

/// Servers `a` and `b` with a tool each that reads, `get`, and others that write; writing is for the group `dev`.
fn guarded() -> Tenant {
    let classes = |spec: &mut ServerSpec| spec.classes.read = strings(&["get*"]);
    let tenant = Tenant::new().server("a", &["get", "put", "del"]).server("b", &["get", "put"]);
    let tenant = tenant.spec("a", classes).spec("b", classes);
    tenant.toolset(|toolset| toolset.rules.write_groups = strings(&["dev"]))
}

fn needs(view: &View, name: &str) -> Option<String> {
    view.tools[name].scopes.as_deref().map(|scopes| scopes.join(" "))
}

#[test]
fn a_tool_needs_all_that_lets_in_all_of_its_class_and_all_that_globs_add() {
    let tenant = guarded().toolset(|toolset| {
        toolset.rules.scopes = ScopeRules {
            enter: strings(&["in"]),
            read: strings(&["mcp:read"]),
            write: strings(&["mcp:write", "in"]),
            tools: [
                ("*/del".to_owned(), strings(&["admin"])),
                ("a/*".to_owned(), strings(&["team-a", "admin"])),
                ("b_put".to_owned(), strings(&["never"])),
            ]
            .into(),
        };
    });
    let view = tenant.view();
    assert_eq!(needs(&view, "a_get").as_deref(), Some("admin in mcp:read team-a"));
    assert_eq!(needs(&view, "a_del").as_deref(), Some("admin in mcp:write team-a"));
    assert_eq!(needs(&view, "b_get").as_deref(), Some("in mcp:read"));
    assert_eq!(needs(&view, "b_put").as_deref(), Some("in mcp:write"));
    let reading = view.read_only.expect("a view without writing");
    assert_eq!(needs(&reading, "a_get").as_deref(), Some("admin in mcp:read team-a"));
}

#[test]
fn a_toolset_without_scopes_needs_none() {
    let view = guarded().view();
    assert!(view.tools.values().all(|route| route.scopes.is_none()));
}

#[test]
fn those_who_may_not_write_have_a_view_of_their_own_without_the_tools_that_write() {
    let whole = guarded().view();
    assert_eq!(listed(&whole.lists.tools, Era::Modern, "tools", "name"), ["a_del", "a_get", "a_put", "b_get", "b_put"]);
    let reading = whole.read_only.clone().expect("a view without writing");
    for era in [Era::Modern, Era::Legacy] {
        assert_eq!(listed(&reading.lists.tools, era, "tools", "name"), ["a_get", "b_get"]);
    }
    // A tool that is not there is not found: its call answers as any unknown name does.
    assert!(!reading.tools.contains_key("a_put") && !reading.tools.contains_key("a_del"));
    assert_eq!(reading.tools["b_get"], whole.tools["b_get"]);
    assert_eq!((&reading.toolset, &reading.rules, &reading.read_only), (&whole.toolset, &whole.rules, &None));
    assert_ne!(reading.lists.tools.digest, whole.lists.tools.digest);
    assert!(!format!("{:?}", reading.instructions).contains("Only"), "{:?}", reading.instructions);
}

#[test]
fn where_everybody_may_write_there_is_one_view() {
    assert_eq!(guarded().toolset(|toolset| toolset.rules.write_groups.clear()).view().read_only, None);
}

#[test]
fn prompts_and_resources_are_in_both_views() {
    let full = CatalogPart {
        prompts: strings(&[r#"{"name":"p"}"#]),
        resources: vec![resource("https://x/y")],
        ..part(&["put"])
    };
    let view = guarded().with("c", full).view();
    let reading = view.read_only.as_ref().expect("a view without writing");
    assert_eq!((&reading.prompts, &reading.uris, reading.has), (&view.prompts, &view.uris, view.has));
    assert_eq!((&reading.lists.prompts, &reading.lists.resources), (&view.lists.prompts, &view.lists.resources));
}

#[test]
fn hiding_never_renames() {
    // Both become the same legal name; which of the two gets the suffix must not depend on what is hidden.
    let names = ["get.x", "get_x", "get x"];
    let tenant = Tenant::new().server("a", &names).toolset(|toolset| toolset.rules.write_groups = strings(&["dev"]));
    let whole = tenant.view();
    for native in names {
        let view = tenant.clone().spec("a", |spec| spec.classes.read = strings(&[native])).view();
        let reading = view.read_only.expect("a view without writing");
        let (exposed, route) = reading.tools.iter().next().expect("one tool");
        assert_eq!((reading.tools.len(), &*route.native), (1, native));
        assert_eq!(whole.tools[exposed].native, route.native);
    }
}

#[test]
fn the_most_tools_are_counted_after_hiding_and_warned_of_once() {
    let tenant = guarded().toolset(|toolset| toolset.tools_max = Some(2));
    let view = tenant.view();
    assert_eq!((view.tools.len(), view.dropped.len()), (2, 3));
    let reading = view.read_only.as_ref().expect("a view without writing");
    assert_eq!(listed(&reading.lists.tools, Era::Modern, "tools", "name"), ["a_get", "b_get"]);
    assert!(reading.dropped.is_empty());
    assert_eq!(tenant.snapshot().warnings.len(), 1, "{:?}", tenant.snapshot().warnings);
}

proptest! {
    #[test]
    fn the_view_without_writing_is_the_other_one_with_tools_left_out(a in hostile(), b in hostile(), glob in "[a-z*?]{1,3}") {
        let tenant = tenant_of(&[("a", &a), ("b", &b)])
            .spec("a", |spec| spec.classes.read = vec![glob.clone()])
            .toolset(|toolset| toolset.rules.write_groups = strings(&["dev"]));
        let view = tenant.view();
        let reading = view.read_only.as_ref().expect("a view without writing");
        let expected: HashMap<_, _> = view.tools.clone().into_iter().filter(|(_, route)| route.class == ToolClass::Read).collect();
        prop_assert_eq!(&reading.tools, &expected);
        let names = listed(&reading.lists.tools, Era::Modern, "tools", "name");
        prop_assert_eq!(names.len(), reading.tools.len());
        prop_assert!(names.iter().all(|name| reading.tools.contains_key(&**name)));
    }
}
