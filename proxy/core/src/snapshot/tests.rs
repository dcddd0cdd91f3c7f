//! Snapshots of hostile, odd and ordinary tenants.

mod access;
mod explained;
mod extended;
mod governed;

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::model::{EraPin, Overflow, PrefixMode, Secrets, ServerRow, ServerSpec, ToolRules, ToolsetSpec};

/// A tenant that is put together in one line.
#[derive(Clone)]
struct Tenant {
    row: TenantRow,
    parts: BTreeMap<ServerId, CatalogPart>,
    options: BuildOptions,
}

fn slug(text: &str) -> Slug {
    text.parse().expect("a slug")
}

fn strings(list: &[&str]) -> Vec<String> {
    list.iter().map(ToString::to_string).collect()
}

fn tool(name: &str) -> String {
    json!({"name": name, "inputSchema": {"type": "object"}}).to_string()
}

fn resource(uri: &str) -> String {
    json!({"uri": uri, "name": "r"}).to_string()
}

/// A skill with one file beside its `SKILL.md`.
fn skill(uri: &str) -> String {
    let name = uri.trim_end_matches("/SKILL.md").rsplit('/').next();
    let file = |uri: &str| json!({"uri": uri, "digest": format!("sha256:{}", "0".repeat(64)), "size": 7});
    let files = [file(uri), file(&uri.replace("SKILL.md", "more.md"))];
    json!({"uri": uri, "frontmatter": {"name": name, "description": "d", "x": 1.0}, "resources": files}).to_string()
}

/// The capabilities of a server with skills.
const SKILLED: &str = r#"{"extensions":{"io.modelcontextprotocol/skills":{}}}"#;

fn part(tools: &[&str]) -> CatalogPart {
    CatalogPart {
        era: Era::Modern,
        tools: tools.iter().map(|name| tool(name)).collect(),
        prompts: Vec::new(),
        resources: Vec::new(),
        templates: Vec::new(),
        skills: Vec::new(),
        capabilities: "{}".into(),
        instructions: None,
        stale: false,
        fresh_until_ms: Some(1_000),
    }
}

impl Tenant {
    fn new() -> Self {
        let row = TenantRow {
            issuers: Vec::new(),
            id: TenantId::from_bits(1),
            slug: slug("acme"),
            title: None,
            enabled: true,
            generation: Generation(7),
            limits: Default::default(),
            audit: Default::default(),
            servers: Vec::new(),
            toolsets: vec![(slug("default"), ToolsetSpec::default())],
        };
        Self { row, parts: BTreeMap::new(), options: BuildOptions::default() }
    }

    fn server(self, name: &str, tools: &[&str]) -> Self {
        self.with(name, part(tools))
    }

    fn with(mut self, name: &str, part: CatalogPart) -> Self {
        let id = ServerId::from_bits(name.bytes().fold(7, |sum, byte| sum * 31 + u128::from(byte)));
        let transport = Transport::Http {
            oauth: None,
            url: "https://server.example".into(),
            headers: Vec::new(),
            sharing: Sharing::Shared,
            era: EraPin::Auto,
        };
        let spec = ServerSpec {
            classes: Default::default(),
            transport,
            enabled: true,
            prefix: None,
            tools: ToolRules::default(),
            call_timeout_s: None,
            concurrency_max: None,
            idempotent_tools: Vec::new(),
            instructions: false,
            asks: Default::default(),
        };
        self.row.servers.push(ServerRow { id, slug: slug(name), spec, secrets: Secrets::default() });
        self.parts.insert(id, part);
        self
    }

    fn without(mut self, name: &str) -> Self {
        self.row.servers.retain(|server| server.slug.as_str() != name);
        self
    }

    fn spec(mut self, name: &str, edit: impl FnOnce(&mut ServerSpec)) -> Self {
        let server = self.row.servers.iter_mut().find(|server| server.slug.as_str() == name);
        edit(&mut server.expect("a server").spec);
        self
    }

    fn toolset(mut self, edit: impl FnOnce(&mut ToolsetSpec)) -> Self {
        edit(&mut self.row.toolsets[0].1);
        self
    }

    fn build(&self) -> Result<TenantSnapshot, BuildError> {
        build(&self.row, &self.parts, &self.options)
    }

    fn snapshot(&self) -> TenantSnapshot {
        self.build().expect("a snapshot")
    }

    fn view(&self) -> View {
        self.snapshot().views["default"].as_ref().clone()
    }

    fn names(&self) -> Vec<String> {
        listed(&self.view().lists.tools, Era::Modern, "tools", "name")
    }
}

/// The whole result of each page, as a client reads it.
fn results(list: &List, era: Era) -> Vec<Value> {
    (0..list.pages())
        .map(|number| {
            let page = list.page(era, number).expect("a page");
            assert_eq!(page.more, number + 1 < list.pages());
            let text = [&page.open[..], &page.tail, b"}"].concat();
            serde_json::from_slice(&text).expect("a page is JSON once it is closed")
        })
        .collect()
}

fn listed(list: &List, era: Era, of: &str, member: &str) -> Vec<String> {
    let pages = results(list, era);
    let items = pages.iter().flat_map(|page| page[of].as_array().expect("an array"));
    items.map(|item| item[member].as_str().expect("a string").to_owned()).collect()
}

#[test]
fn names_carry_the_prefix_and_lead_to_their_server() {
    let tenant = Tenant::new().server("db", &["query", "tables"]).server("weather", &["today"]);
    assert_eq!(tenant.names(), ["db_query", "db_tables", "weather_today"]);
    let snapshot = tenant.snapshot();
    let route = &snapshot.views["default"].tools["weather_today"];
    assert_eq!((&*snapshot.servers[route.server].slug.to_string(), &*route.native), ("weather", "today"));
    assert_eq!(route.headers, None);
}

#[test]
fn a_bad_item_is_left_out_alone_and_said() {
    let mut odd = part(&["good"]);
    odd.tools.extend(strings(&["{", r#"{"name":"x"}"#, r#"{"name":"a\nb","inputSchema":{}}"#]));
    odd.tools.push(r#"{"name":"good","inputSchema":{},"z":1}"#.into());
    odd.templates.push(r#"{"uriTemplate":"a:{","name":"t"}"#.into());
    let tenant = Tenant::new().with("s", odd);
    assert_eq!(tenant.names(), ["s_good"]);
    let said = tenant.snapshot().warnings;
    assert_eq!(said.len(), 5, "{said:#?}");
    assert!(said.iter().all(|text| !text.contains('\n') && text.contains("`s`")), "{said:#?}");
}

#[test]
fn a_flood_of_odd_items_is_said_within_bounds() {
    let mut odd = part(&[]);
    odd.tools = vec!["{".into(); 1_000];
    let said = Tenant::new().with("s", odd).snapshot().warnings;
    assert_eq!(said.len(), WARNINGS_MAX + 1);
    let mut tenant = Tenant::new().server("s", &["c", "a", "b"]);
    tenant.options.items_max = 2;
    assert_eq!(tenant.names(), ["s_a", "s_b"]);
}

#[test]
fn a_server_without_a_part_is_absent_and_makes_the_lists_stale() {
    let mut tenant = Tenant::new().server("a", &["x"]).server("b", &["y"]);
    let whole = tenant.view();
    assert_eq!((whole.lists.stale, whole.lists.fresh_until_ms), (false, Some(1_000)));
    assert_eq!((whole.has.prompts, whole.has.completions), (false, false));
    let missing = tenant.row.servers[1].id;
    tenant.parts.remove(&missing);
    let view = tenant.view();
    assert_eq!((view.lists.stale, view.lists.fresh_until_ms), (true, None));
    assert!(view.has.tools && view.has.prompts && view.has.resources && view.has.completions);
    assert_eq!(tenant.names(), ["a_x"]);
    assert_eq!(tenant.snapshot().servers[1].era, None);
}

#[test]
fn a_server_that_is_switched_off_keeps_its_prefix_for_itself() {
    let tenant = Tenant::new().server("a", &["x"]).server("b", &["y"]);
    let tenant =
        tenant.spec("a", |spec| spec.prefix = Some("p".into())).spec("b", |spec| spec.prefix = Some("P".into()));
    let both = tenant.names();
    let off = tenant.spec("a", |spec| spec.enabled = false);
    assert_eq!(off.snapshot().servers.len(), 1);
    assert!(both.contains(&off.names()[0]));
}

#[test]
fn what_filters_hide_is_nowhere() {
    let tenant = Tenant::new().server("db", &["drop", "query", "tables"]);
    let tenant = tenant
        .spec("db", |spec| spec.tools.deny = strings(&["drop"]))
        .toolset(|toolset| toolset.tools.allow = strings(&["db/query", "db/drop"]));
    assert_eq!(tenant.names(), ["db_query"]);
    assert_eq!(tenant.view().tools.len(), 1);
}

#[test]
fn renames_and_descriptions_of_the_toolset_are_stronger_than_those_of_the_server() {
    let rules = |key: &str, name: &str| ToolRules {
        rename: [(key.into(), name.into())].into(),
        describe: [(key.into(), format!("about {name}"))].into(),
        ..ToolRules::default()
    };
    let tenant = Tenant::new().server("db", &["q", "r"]).spec("db", |spec| spec.tools = rules("q", "ask"));
    assert_eq!(tenant.names(), ["ask", "db_r"]);
    let tenant = tenant.toolset(|toolset| toolset.tools = rules("db/q", "search"));
    for era in [Era::Legacy, Era::Modern] {
        let pages = results(&tenant.view().lists.tools, era);
        assert_eq!(
            pages[0]["tools"][1],
            json!({"name": "search", "inputSchema": {"type": "object"}, "description": "about search"})
        );
    }
    assert_eq!(&*tenant.view().tools["search"].native, "q");
}

#[test]
fn a_new_name_wins_over_a_natural_one_even_while_its_tool_is_away() {
    let rename = |spec: &mut ServerSpec| spec.tools.rename = [("q".into(), "b_x".into())].into();
    let tenant = Tenant::new().server("a", &["q"]).server("b", &["x"]).spec("a", rename);
    let names = tenant.names();
    assert!(names[0] == "b_x" && names[1].starts_with("b_x_"), "{names:?}");
    let away = Tenant::new().server("a", &[]).server("b", &["x"]).spec("a", rename);
    assert_eq!(away.names(), [names[1].clone()]);
}

#[test]
fn renames_that_meet_or_may_not_stand_are_refused() {
    let rename = |to: &str| ToolRules { rename: [("x".into(), to.into())].into(), ..ToolRules::default() };
    let two = Tenant::new().server("a", &[]).server("b", &[]);
    let both = two.clone().spec("a", |s| s.tools = rename("n")).spec("b", |s| s.tools = rename("n"));
    let refused = both.build().expect_err("two tools of one name");
    assert_eq!(
        refused.to_string(),
        "in the toolset `default` both `a/x` and `b/x` are renamed to `n`: rename one of them otherwise"
    );
    let hidden = both.toolset(|toolset| toolset.tools.deny = strings(&["b/*"]));
    assert!(hidden.build().is_ok());
    for bad in ["", "a b", "a.b", &"x".repeat(41)] {
        let tenant = two.clone().spec("a", |s| s.tools = rename(bad));
        assert!(matches!(tenant.build(), Err(BuildError::RenameIllegal { .. })), "{bad:?} was taken");
    }
}

#[test]
fn a_broken_glob_is_refused_with_its_place() {
    let tenant = Tenant::new().server("a", &[]).spec("a", |spec| spec.tools.deny = strings(&["a["]));
    let refused = tenant.build().expect_err("a broken glob").to_string();
    assert!(refused.contains("server `a`") && refused.contains("`a[`"), "{refused}");
    let tenant = Tenant::new().toolset(|toolset| toolset.keep_first = strings(&["{"]));
    assert!(tenant.build().expect_err("a broken glob").to_string().contains("toolset `default`"));
}

#[test]
fn a_toolset_without_prefixes_has_one_server_and_passes_names_verbatim() {
    let never = |toolset: &mut ToolsetSpec| toolset.prefix = PrefixMode::Never;
    let tenant = Tenant::new().server("a", &["test_a_name_of_the_suite_with_42_characters", "a.b/ü"]).toolset(never);
    assert_eq!(tenant.names(), ["a.b/ü", "test_a_name_of_the_suite_with_42_characters"]);
    let two = tenant.server("b", &[]);
    assert!(matches!(two.build(), Err(BuildError::PrefixNeeded { servers: 2, .. })));
    let named = two.toolset(|toolset| toolset.servers = Some(vec![slug("a"), slug("gone")]));
    assert_eq!(named.names().len(), 2);
    assert!(named.snapshot().warnings.iter().any(|text| text.contains("`gone`")));
}

#[test]
fn too_many_tools_are_dropped_in_the_order_that_the_operator_chose() {
    let tenant = Tenant::new().server("a", &["a", "b", "c", "d"]).toolset(|toolset| {
        toolset.tools_max = Some(2);
        toolset.keep_first = strings(&["a/d", "a/c"]);
    });
    let view = tenant.view();
    assert_eq!(tenant.names(), ["a_c", "a_d"]);
    assert_eq!(view.dropped, ["a_a", "a_b"]);
    assert!(!view.tools.contains_key("a_a"));
    assert!(view.instructions.expect("instructions").contains("Only 2 of 4 tools"));
    assert!(tenant.snapshot().warnings[0].contains("has 4 tools and shows 2"));
    let refuse = tenant.toolset(|toolset| toolset.overflow = Overflow::Refuse);
    let toolset = slug("default");
    assert_eq!(refuse.build(), Err(BuildError::TooManyTools { toolset, count: 4, max: 2 }));
}

#[test]
fn a_crowded_toolset_is_said() {
    let many: Vec<String> = (0..101).map(|n| format!("t{n}")).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    let said = Tenant::new().server("a", &many).snapshot().warnings;
    assert_eq!(said, ["the toolset `default` shows 101 tools; some clients take no more than 100"]);
}

#[test]
fn tools_that_only_run_as_tasks_or_break_the_header_rules_are_hidden() {
    let annotated = |name: &str, header: &str| {
        json!({"name": name, "inputSchema": {"type": "object", "properties": {"p": {"type": "string", "x-mcp-header": header}}}})
            .to_string()
    };
    let mut odd = part(&["fine"]);
    odd.tools.push(r#"{"name":"task","inputSchema":{},"execution":{"taskSupport":"required"}}"#.into());
    odd.tools.push(annotated("broken", "a b"));
    odd.tools.push(annotated("mirrored", "P"));
    let tenant = Tenant::new().with("a", odd.clone());
    assert_eq!(tenant.names(), ["a_fine", "a_mirrored"]);
    assert!(tenant.view().tools["a_mirrored"].headers.is_some());
    let legacy = Tenant::new().with("a", CatalogPart { era: Era::Legacy, ..odd });
    assert_eq!(legacy.names(), ["a_broken", "a_fine", "a_mirrored"]);
    assert_eq!(legacy.view().tools["a_broken"].headers, None);
}

#[test]
fn tools_for_pages_are_shown_only_where_their_server_is_alone() {
    let mut apps = part(&[]);
    apps.tools.push(
        r#"{"name":"page","inputSchema":{},"_meta":{"ui":{"resourceUri":"ui://a","visibility":["app"]}}}"#.into(),
    );
    let alone = Tenant::new().with("a", apps);
    assert_eq!(alone.names(), ["a_page"]);
    assert_eq!(alone.view().uris.to_native("ui://a").map(|(server, _)| server), Some(0));
    assert!(alone.server("b", &[]).names().is_empty());
}

#[test]
fn links_of_tools_to_pages_follow_the_uris_of_the_view() {
    let apps = || {
        let mut apps = part(&[]);
        apps.tools.push(r#"{"name":"show","inputSchema":{},"_meta":{"ui":{"resourceUri":"ui://a"}}}"#.into());
        apps
    };
    let tenant = Tenant::new().with("a", apps()).with("b", apps());
    let view = tenant.view();
    let pages = results(&view.lists.tools, Era::Modern);
    for (server, item) in pages[0]["tools"].as_array().expect("tools").iter().enumerate() {
        let exposed = item["_meta"]["ui"]["resourceUri"].as_str().expect("a link");
        assert_eq!(view.uris.to_native(exposed), Some((server, "ui://a".into())));
    }
}

#[test]
fn an_output_schema_that_legacy_clients_cannot_take_is_hidden_from_them_alone() {
    let mut odd = part(&["before"]);
    odd.tools.push(r#"{"name":"list","inputSchema":{},"outputSchema":{"type":"array"}}"#.into());
    let view = Tenant::new().with("a", odd).view();
    let (modern, legacy) = (results(&view.lists.tools, Era::Modern), results(&view.lists.tools, Era::Legacy));
    assert!(modern[0]["tools"][1]["outputSchema"].is_object());
    assert_eq!(
        legacy[0]["tools"],
        json!([
            {"name": "a_before", "inputSchema": {"type": "object"}},
            {"name": "a_list", "inputSchema": {}},
        ])
    );
}

#[test]
fn pages_are_cut_by_items_and_bytes_and_say_their_era() {
    let mut tenant = Tenant::new().server("a", &["a", "b", "c", "d", "e"]);
    tenant.options.page_items_max = 2;
    let tools = tenant.view().lists.tools;
    assert_eq!((tools.pages(), tools.count), (3, 5));
    assert_eq!(listed(&tools, Era::Legacy, "tools", "name").len(), 5);
    assert!(tools.page(Era::Modern, 3).is_none());
    let other = tools.digest;
    tenant.options = BuildOptions { page_bytes_max: 1, ..BuildOptions::default() };
    let tools = tenant.view().lists.tools;
    assert_eq!(tools.pages(), 5);
    assert_ne!(tools.digest, other);
    assert_eq!(&tools.page(Era::Legacy, 0).expect("a page").tail[..], b"");
    let modern = &results(&tools, Era::Modern)[4];
    assert_eq!((&modern["resultType"], &modern["cacheScope"]), (&json!("complete"), &json!("private")));
    assert_eq!(modern["_meta"]["io.modelcontextprotocol/serverInfo"]["name"], "patchbay");
    let open = tenant.toolset(|toolset| toolset.access = Access::Anonymous).view();
    assert_eq!(results(&open.lists.prompts, Era::Modern)[0]["cacheScope"], "public");
    assert_eq!(results(&open.lists.prompts, Era::Modern)[0]["prompts"], json!([]));
}

#[test]
fn eras_share_the_bytes_of_pages_that_do_not_differ() {
    let tools = Tenant::new().server("a", &["a"]).view().lists.tools;
    let [modern, legacy] = [Era::Modern, Era::Legacy].map(|era| tools.page(era, 0).expect("a page").open);
    assert_eq!(modern.as_ptr(), legacy.as_ptr());
}

#[test]
fn prompts_resources_and_templates_are_listed_under_exposed_names() {
    let full = || CatalogPart {
        prompts: strings(&[r#"{"name":"p.q","arguments":[{"name":"x","new":1}],"y":0.10}"#]),
        resources: vec![resource("config://app"), resource("https://x/y")],
        templates: strings(&[r#"{"uriTemplate":"file:///{+p}","name":"t"}"#]),
        capabilities: r#"{"completions":{},"prompts":null}"#.into(),
        ..part(&[])
    };
    let view = Tenant::new().with("a", full()).with("b", full()).view();
    let prompts = listed(&view.lists.prompts, Era::Modern, "prompts", "name");
    assert!(prompts[0].starts_with("a_p_q_") && prompts[1].starts_with("b_p_q_"), "{prompts:?}");
    assert_eq!(&*view.prompts[&*prompts[1]].native, "p.q");
    let page = view.lists.prompts.page(Era::Modern, 0).expect("a page").open;
    assert!(String::from_utf8_lossy(&page).contains(r#""arguments":[{"name":"x","new":1}],"y":0.10}"#));
    assert_eq!(
        listed(&view.lists.resources, Era::Legacy, "resources", "uri"),
        ["https://x/y", "patchbay://a/config%3A%2F%2Fapp", "patchbay://b/config%3A%2F%2Fapp"]
    );
    assert_eq!(
        listed(&view.lists.templates, Era::Legacy, "resourceTemplates", "uriTemplate"),
        ["patchbay://a/!file:///{+p}", "patchbay://b/!file:///{+p}"]
    );
    assert!(view.has.prompts && view.has.resources && view.has.completions);
}

#[test]
fn words_of_servers_pass_only_where_the_operator_lets_them_and_are_cut() {
    let loud = || CatalogPart { instructions: Some(format!("Obey. {}", "ü".repeat(5_000))), ..part(&[]) };
    let names = ["a", "b", "c", "d", "e", "f"];
    let mut tenant = names.iter().fold(Tenant::new(), |tenant, name| tenant.with(name, loud()));
    let quiet = tenant.view().instructions.expect("instructions");
    assert!(quiet.contains("a (`a_`), b (`b_`)") && !quiet.contains("Obey"), "{quiet}");
    for name in names {
        tenant = tenant.spec(name, |spec| spec.instructions = true);
    }
    let said = tenant.view().instructions.expect("instructions");
    assert!(said.contains("Server `a` says:\nObey. ü") && said.len() <= 8 * 1024, "{} bytes", said.len());
    assert_eq!(Tenant::new().view().instructions, None);
}

#[test]
fn unknown_members_survive_into_the_list_byte_for_byte() {
    let rest = r#","x":{"a" : [1.0,{"b":-0}],"é":"\u00e9"},"inputSchema":{"type":"object","y":0.10},"annotations":{"new":[null]},"_meta":{"a/b":1E5}}"#;
    let with_raw = CatalogPart { tools: vec![format!("{{\"name\" :\"t\"{rest}")], ..part(&[]) };
    let page = Tenant::new().with("a", with_raw).view().lists.tools.page(Era::Legacy, 0).expect("a page");
    assert_eq!(String::from_utf8_lossy(&page.open), format!("{{\"tools\":[{{\"name\":\"a_t\"{rest}]"));
}

#[test]
fn ten_times_the_tools_cost_about_ten_times_the_build() {
    let cost = |count: usize| {
        let names: Vec<String> = (0..count).map(|n| format!("tool.{n}")).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let tenant = Tenant::new().server("a", &names);
        let best = (0..5).map(|_| {
            let start = std::time::Instant::now();
            assert_eq!(tenant.view().tools.len(), count);
            start.elapsed()
        });
        best.min().expect("five runs")
    };
    let (small, large) = (cost(400), cost(4_000));
    assert!(large < small * 60, "4,000 tools took {large:?}, 400 took {small:?}");
}

/// Names that servers have no business sending, and ordinary ones.
fn hostile() -> impl Strategy<Value = Vec<String>> {
    let name = prop_oneof![
        "[a-z_]{1,8}",
        "[ab._]{1,3}",
        "\\PC{0,60}",
        "[a-z]{30,60}",
        Just("a\u{7}b".to_owned()),
        Just("x".repeat(2_000)),
        Just("\u{202e}evil\u{200b}".to_owned()),
    ];
    prop::collection::vec(name, 0..12)
}

fn tenant_of(servers: &[(&str, &[String])]) -> Tenant {
    servers.iter().fold(Tenant::new(), |tenant, (name, tools)| {
        let names: Vec<&str> = tools.iter().map(String::as_str).collect();
        let mut part = part(&names);
        part.prompts = tools.iter().map(|name| json!({"name": name}).to_string()).collect();
        part.resources = tools.iter().map(|name| resource(&format!("r:{name}"))).collect();
        tenant.with(name, part)
    })
}

proptest! {
    #[test]
    fn every_listed_name_routes_is_unique_and_legal(a in hostile(), b in hostile()) {
        let snapshot = tenant_of(&[("a", &a), ("a-long-server-name", &b)]).snapshot();
        let view = &snapshot.views["default"];
        let names = listed(&view.lists.tools, Era::Modern, "tools", "name");
        prop_assert!(names.is_sorted());
        prop_assert_eq!(names.len(), view.tools.len());
        let mut natives = std::collections::HashSet::new();
        for name in &names {
            prop_assert!(names::is_legal(PrefixMode::Always, name), "{}", name);
            let route = &view.tools[&**name];
            prop_assert!(natives.insert((route.server, route.native.clone())), "two names for one tool");
        }
        let good = |list: &[String]| {
            let good = list.iter().filter(|name| (1..=1024).contains(&name.len()) && !name.chars().any(char::is_control));
            good.collect::<std::collections::HashSet<_>>().len()
        };
        prop_assert_eq!(names.len(), good(&a) + good(&b));
        let prompts = listed(&view.lists.prompts, Era::Legacy, "prompts", "name");
        prop_assert!(prompts.iter().all(|name| view.prompts.contains_key(&**name)));
        for uri in listed(&view.lists.resources, Era::Modern, "resources", "uri") {
            prop_assert!(view.uris.to_native(&uri).is_some());
        }
    }

    #[test]
    fn a_server_that_leaves_takes_only_its_own_names(a in hostile(), b in hostile()) {
        let tenant = tenant_of(&[("a", &a), ("b", &b)]);
        let expected: Vec<_> = tenant.names().into_iter().filter(|name| !name.starts_with("a_")).collect();
        prop_assert_eq!(tenant.without("a").names(), expected);
    }

    #[test]
    fn any_order_gives_the_same_bytes(
        (a, mixed) in hostile().prop_flat_map(|a| (Just(a.clone()), Just(a).prop_shuffle())),
        b in hostile(),
    ) {
        let one = tenant_of(&[("a", &a), ("b", &b)]);
        let mut other = tenant_of(&[("b", &b), ("a", &mixed)]);
        prop_assert_eq!(one.snapshot(), other.snapshot());
        other.row.servers.reverse();
        prop_assert_eq!(one.snapshot(), other.snapshot());
    }
}
