//! Skills and pages: what of extensions a view shows, under which names, and to whom.

use super::*;

fn view_of(parts: impl IntoIterator<Item = (&'static str, CatalogPart)>) -> Tenant {
    parts.into_iter().fold(Tenant::new(), |tenant, (name, part)| tenant.with(name, part))
}

fn skilled(skills: &[&str]) -> CatalogPart {
    CatalogPart { skills: skills.iter().map(|uri| skill(uri)).collect(), capabilities: SKILLED.into(), ..part(&[]) }
}

fn app(name: &str, visibility: &str) -> String {
    let ui = json!({"resourceUri": "ui://page", "visibility": serde_json::from_str::<Value>(visibility).unwrap()});
    json!({"name": name, "inputSchema": {}, "_meta": {"ui": ui}}).to_string()
}

fn skills_of(tenant: &Tenant, era: Era) -> Vec<Value> {
    results(&tenant.view().lists.skills, era)[0]["skills"].as_array().unwrap().clone()
}

#[test]
fn skills_of_all_servers_are_one_sorted_list_with_the_prefix_of_their_server() {
    let same = "skill://acme/billing/SKILL.md";
    let tenant = view_of([("two", skilled(&[same, "skill://a/SKILL.md"])), ("one", skilled(&[same]))]);
    let skills = skills_of(&tenant, Era::Modern);
    let uris: Vec<_> = skills.iter().map(|skill| skill["uri"].as_str().unwrap()).collect();
    assert_eq!(
        uris,
        ["skill://one/acme/billing/SKILL.md", "skill://two/a/SKILL.md", "skill://two/acme/billing/SKILL.md"]
    );
    assert_eq!(skills, skills_of(&tenant, Era::Legacy));
    let view = tenant.view();
    for (server, exposed) in [(0, uris[0]), (1, uris[2])] {
        assert_eq!(view.uris.to_native(exposed), Some((server, same.into())));
    }
    let native: Value = serde_json::from_str(&skill(same)).unwrap();
    assert_eq!(skills[0]["frontmatter"], native["frontmatter"]);
    for (shown, raw) in skills[0]["resources"].as_array().unwrap().iter().zip(native["resources"].as_array().unwrap()) {
        assert_eq!((&shown["digest"], &shown["size"]), (&raw["digest"], &raw["size"]));
        let exposed = shown["uri"].as_str().unwrap();
        assert_eq!(view.uris.to_native(exposed), Some((0, raw["uri"].as_str().unwrap().into())));
    }
    // Files that no list names, of this server and of none.
    assert_eq!(view.uris.to_native("skill://two/a/x/y.md"), Some((1, "skill://a/x/y.md".into())));
    assert_eq!(view.uris.to_native("skill://three/a/x/y.md"), None);
}

#[test]
fn odd_skills_are_left_out_alone() {
    let mut one = skilled(&["skill://good/SKILL.md"]);
    for raw in [
        r#"{"frontmatter":{"name":"a"},"resources":"dynamic"}"#,
        r#"{"uri":"skill://a/skill.md","frontmatter":{"name":"a"},"resources":"dynamic"}"#,
        r#"{"uri":"skill://SKILL.md","frontmatter":{"name":"a"},"resources":"dynamic"}"#,
        r#"{"uri":"skill://a/SKILL.md","frontmatter":{},"resources":"dynamic"}"#,
        r#"{"uri":"skill://a/SKILL.md","frontmatter":{"name":"a"},"resources":"static"}"#,
        r#"{"uri":"skill://a/SKILL.md","frontmatter":{"name":"a"}}"#,
        r#"{"uri":"skill://a/SKILL.md","frontmatter":{"name":"a"},"resources":[{"uri":"skill://a/SKILL.md"}]}"#,
        r#"{"uri":"skill://a/SKILL.md","frontmatter":{"name":"a"},"resources":[{"uri":"skill://a/b","digest":"d","size":1,"uri":"x"}]}"#,
    ] {
        one.skills.push(raw.to_owned());
    }
    one.skills
        .push(r#"{"uri":"skill://more/SKILL.md","frontmatter":{"name":"more"},"resources":"dynamic"}"#.to_owned());
    let tenant = view_of([("one", one)]);
    let uris: Vec<_> = skills_of(&tenant, Era::Modern).iter().map(|skill| skill["uri"].clone()).collect();
    assert_eq!(uris, ["skill://one/good/SKILL.md", "skill://one/more/SKILL.md"]);
    assert_eq!(tenant.snapshot().warnings.len(), 8);
}

#[test]
fn a_view_without_prefixes_leaves_the_uris_of_skills_alone() {
    let tenant = view_of([("one", skilled(&["skill://a/SKILL.md"]))]).toolset(|spec| spec.prefix = PrefixMode::Never);
    assert_eq!(
        skills_of(&tenant, Era::Modern)[0],
        serde_json::from_str::<Value>(&skill("skill://a/SKILL.md")).unwrap()
    );
    let view = tenant.view();
    assert_eq!(view.uris.to_native("skill://a/b"), Some((0, "skill://a/b".into())));
    assert!(!view.uris.has_mapped(0));
}

#[test]
fn skills_of_other_schemes_stay_as_they_are_where_one_server_has_them() {
    let tenant = view_of([
        ("one", skilled(&["repo://x/a/SKILL.md", "repo://same/SKILL.md"])),
        ("two", skilled(&["repo://same/SKILL.md"])),
    ]);
    let uris: Vec<_> = skills_of(&tenant, Era::Modern).iter().map(|skill| skill["uri"].clone()).collect();
    assert_eq!(uris, ["repo://x/a/SKILL.md"]);
    assert_eq!(tenant.view().uris.to_native("repo://x/a/more.md"), Some((0, "repo://x/a/more.md".into())));
}

#[test]
fn a_server_without_skills_has_its_large_answers_passed_on_as_they_come() {
    let tenant = view_of([("one", skilled(&["skill://a/SKILL.md"])), ("two", part(&["t"]))]);
    assert!(tenant.view().uris.has_mapped(0) && !tenant.view().uris.has_mapped(1));
}

#[test]
fn extensions_are_there_when_a_server_that_was_heard_says_so() {
    let none = Extensions::default();
    assert_eq!(view_of([("one", part(&["t"]))]).view().has.extensions, none);
    let unheard = view_of([("one", skilled(&[]))]);
    let unheard = Tenant { parts: BTreeMap::new(), ..unheard };
    assert_eq!(unheard.view().has.extensions, none);
    let one = CatalogPart {
        capabilities: r#"{"extensions":{"io.modelcontextprotocol/tasks":{},"io.modelcontextprotocol/skills":{"directoryRead":true},"x.y/z":{}}}"#.into(),
        ..part(&[])
    };
    let mut two = part(&[]);
    two.tools.push(app("show", "null"));
    let old = view_of([("one", CatalogPart { era: Era::Legacy, ..one.clone() })]).view().has.extensions;
    assert_eq!(old, Extensions { skills: true, directories: true, ..none }, "tasks are of the modern era");
    let tenant = view_of([("one", one), ("two", two)]);
    assert_eq!(tenant.view().has.extensions, Extensions { tasks: true, skills: true, directories: true, apps: true });
    let of_one = Extensions { apps: false, tasks: true, skills: true, directories: true };
    assert_eq!(tenant.snapshot().servers[0].extensions, of_one);
    assert_eq!(tenant.snapshot().servers[1].extensions, none);
}

#[test]
fn a_page_may_call_by_native_names_what_is_about_pages_and_unmistakable() {
    let mut one = part(&["plain", "both"]);
    one.tools.extend([app("show", "null"), app("refresh", r#"["app","model"]"#), app("model", r#"["model"]"#)]);
    one.tools.push(app("hidden", r#"["app"]"#));
    one.tools.push(r#"{"name":"flat","inputSchema":{},"_meta":{"ui/resourceUri":"ui://page"}}"#.to_owned());
    let mut two = part(&[]);
    two.tools.push(app("both", "null"));
    let view = view_of([("one", one), ("two", two)]).view();
    let mut names: Vec<_> = view.page_tools.iter().map(|(native, exposed)| (&**native, &**exposed)).collect();
    names.sort_unstable();
    assert_eq!(names, [("flat", "one_flat"), ("refresh", "one_refresh"), ("show", "one_show")]);
    assert!(!view.tools.contains_key("one_hidden"), "an app of the other server could call it");
}

#[test]
fn a_link_to_what_is_no_page_claims_nothing() {
    let mut thief = part(&[]);
    let steals = json!({"name": "t", "inputSchema": {}, "_meta": {"ui": {"resourceUri": "file:///own"}}});
    thief.tools.push(steals.to_string());
    let mut owner = part(&[]);
    owner.resources.push(resource("file:///own"));
    let view = view_of([("thief", thief), ("owner", owner)]).view();
    assert_eq!(view.uris.to_native("file:///own"), Some((0, "file:///own".into())), "servers are sorted by name");
    assert!(!view.uris.has_mapped(0) && !view.uris.has_mapped(1));
}
