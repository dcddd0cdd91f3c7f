//! Servers that list the same URIs, and URIs that try to lead elsewhere.

use proptest::prelude::*;

use super::*;

type Listed<'a> = (&'a str, &'a [&'a str], &'a [&'a str]);

fn map(servers: &[Listed<'_>]) -> (UriMap, Vec<String>) {
    let slugs: Vec<Slug> = servers.iter().map(|(slug, ..)| slug.parse().expect("a slug")).collect();
    let offers: Vec<_> = servers
        .iter()
        .zip(&slugs)
        .enumerate()
        .map(|(server, ((_, uris, templates), slug))| Offer {
            server,
            slug,
            uris: uris.to_vec(),
            templates: templates.to_vec(),
            skills: Skills::default(),
        })
        .collect();
    UriMap::build(&offers)
}

fn native<'a>(map: &UriMap, uri: &'a str) -> Option<(usize, Cow<'a, str>)> {
    map.to_native(uri)
}

#[test]
fn a_uri_of_one_server_stays_as_it_is() {
    let (map, _) = map(&[("a", &["file:///a"], &[]), ("b", &["file:///b"], &[])]);
    assert_eq!(native(&map, "file:///b"), Some((1, "file:///b".into())));
    assert_eq!(map.listed(1, "file:///b").as_deref(), Some("file:///b"));
    assert_eq!(native(&map, "file:///c"), None);
    assert!(!map.has_mapped(0) && !map.has_mapped(1));
}

#[test]
fn colliding_uris_are_both_readable_and_come_back_as_they_went() {
    let uri = "config://app?a=ü%20#x";
    let (map, _) = map(&[("a", &[uri], &[]), ("b", &[uri, "own://b"], &[])]);
    assert_eq!(native(&map, uri), None);
    for (server, slug) in ["a", "b"].into_iter().enumerate() {
        let exposed = map.to_exposed(server, uri);
        assert!(exposed.starts_with(&format!("patchbay://{slug}/config%3A%2F%2Fapp")), "{exposed}");
        assert_eq!(native(&map, &exposed), Some((server, uri.into())));
        assert_eq!(map.listed(server, uri), Some(exposed));
    }
    assert_eq!(map.to_exposed(1, "own://b"), "own://b");
    assert_eq!(map.to_exposed(1, "unlisted://b"), "unlisted://b");
}

#[test]
fn an_https_uri_belongs_to_the_first_server_and_is_never_mapped() {
    let (map, warnings) = map(&[("a", &["HTTPS://x/y"], &[]), ("b", &["HTTPS://x/y"], &[])]);
    assert_eq!(native(&map, "HTTPS://x/y"), Some((0, "HTTPS://x/y".into())));
    assert_eq!(map.listed(1, "HTTPS://x/y"), None);
    assert_eq!(warnings.len(), 1);
    assert!(!map.has_mapped(0) && !map.has_mapped(1));
}

#[test]
fn no_server_can_speak_for_another_one() {
    let trap = "patchbay://b/config%3A%2F%2Fapp";
    let (map, _) = map(&[("a", &[trap, "config://app"], &[]), ("b", &["config://app"], &[])]);
    assert_eq!(native(&map, trap), Some((1, "config://app".into())));
    let exposed = map.listed(0, trap).expect("a listed resource");
    assert_eq!(native(&map, &exposed), Some((0, trap.into())));
}

#[test]
fn a_gateway_uri_has_to_name_a_server_of_the_view_and_a_sane_uri() {
    let (map, _) = map(&[("a", &[], &[])]);
    assert_eq!(native(&map, "patchbay://a/x%3Ay"), Some((0, "x:y".into())));
    for uri in [
        "patchbay://b/x",
        "patchbay://a",
        "patchbay://a/",
        "patchbay://a/%ff",
        "patchbay://a/a%0d%0ab",
        "patchbay:///x",
    ] {
        assert_eq!(native(&map, uri), None, "{uri}");
    }
    let long = format!("patchbay://a/{}", "x".repeat(URI_BYTES_MAX + 1));
    assert_eq!(native(&map, &long), None);
}

#[test]
fn templates_lead_to_their_server_the_most_literal_one_first() {
    let (map, _) = map(&[("a", &["db://x/known"], &["db://{+rest}"]), ("b", &[], &["db://x/{id}"])]);
    assert_eq!(native(&map, "db://x/7"), Some((1, "db://x/7".into())));
    assert_eq!(native(&map, "db://y/7"), Some((0, "db://y/7".into())));
    assert_eq!(native(&map, "db://x/known"), Some((0, "db://x/known".into())));
    assert_eq!(map.template_to_native("db://x/{id}"), Some((1, "db://x/{id}".into())));
}

#[test]
fn colliding_templates_keep_what_the_client_fills_in() {
    let (map, _) = map(&[("a", &[], &["file:///{+p}{?q}"]), ("b", &["file:///own"], &["file:///{+p}{?q}"])]);
    let template = map.listed_template(1, "file:///{+p}{?q}").expect("a listed template");
    assert_eq!(template, "patchbay://b/!file:///{+p}{?q}");
    assert_eq!(map.template_to_native(&template), Some((1, "file:///{+p}{?q}".into())));
    let filled = "patchbay://b/!file:///a%2Fb/c?q=%C3%BC";
    assert_eq!(native(&map, filled), Some((1, "file:///a%2Fb/c?q=%C3%BC".into())));
    assert_eq!(map.to_exposed(1, "file:///a%2Fb/c?q=%C3%BC"), filled);
    assert_eq!(map.to_exposed(1, "file:///own"), "file:///own");
    assert_eq!(native(&map, "file:///a"), None);
}

proptest! {
    #[test]
    fn every_listed_uri_leads_back_to_its_server(
        a in prop::collection::vec("(https|f|patchbay)://[a-c%/ü]{0,3}", 0..12),
        b in prop::collection::vec("(https|f|patchbay)://[a-c%/ü]{0,3}", 0..12),
    ) {
        let uris: Vec<Vec<&str>> = [&a, &b].iter().map(|list| list.iter().map(String::as_str).collect()).collect();
        let (map, _) = map(&[("a", &uris[0], &[]), ("b", &uris[1], &[])]);
        let mut seen = HashMap::new();
        for (server, list) in uris.iter().enumerate() {
            for &uri in list {
                let Some(exposed) = map.listed(server, uri) else {
                    prop_assert!(uri.starts_with("https:"));
                    continue;
                };
                let owner = *seen.entry(exposed.to_string()).or_insert((server, uri));
                prop_assert_eq!(owner, (server, uri), "two resources have one name");
                prop_assert_eq!(map.to_native(&exposed), Some((server, Cow::Borrowed(uri))));
            }
        }
    }
}
