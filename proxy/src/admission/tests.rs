//! Which limits stop whom, as dispatch and the edge ask for it; over the limiter in memory and real plans.

use std::time::Duration;

use http::HeaderMap;
use patchbay_core::{
    limits::{Amount, Applies, Dimension, LimitRule, Rate},
    model::{Access, TenantRow, ToolsetSpec},
};
use patchbay_limit::{Mode, Standing, Watcher};
use serde_json::json;

use super::{look::Question, told::Policy, *};
use crate::auth::{
    Peer,
    tests::house::{House, PEER, bearer},
};

/// So slow that nothing comes back while a test runs.
const fn hourly(burst: u32) -> Rate {
    Rate { count: 1, period: Duration::from_secs(3600), burst }
}

fn rule(name: &str, by: &[Dimension], amount: Amount) -> LimitRule {
    LimitRule {
        name: name.into(),
        by: by.to_vec(),
        amount,
        applies: Applies::default(),
        away: WhenAway::Local,
        dry_run: false,
    }
}

/// Makes the toolset `default` take keys and tokens, and gives the tenant these limits.
fn with(rules: Vec<LimitRule>) -> impl FnOnce(&mut TenantRow, &mut ToolsetSpec) {
    move |row, toolset| {
        toolset.access = Access::Both;
        row.limits.rules = rules;
    }
}

/// Somebody who has come in.
struct Guest<'a> {
    house: &'a House,
    tenant: Tenant,
    principal: Principal,
}

impl<'a> Guest<'a> {
    async fn of(house: &'a House, tenant: &str, toolset: Option<&str>, headers: &HeaderMap) -> Self {
        let door = house.door(tenant, toolset);
        let principal = house.identify(&door, headers).await.unwrap();
        let tenant = door.enter(&principal, Some(&crate::auth::tests::house::site())).unwrap();
        Self { house, tenant, principal }
    }

    async fn person(house: &'a House, tenant: &str, subject: &str) -> Self {
        let claims = json!({ "sub": subject, "aud": format!("https://tools.example/t/{tenant}/mcp") });
        Self::of(house, tenant, None, &bearer(&house.issuer.token(&claims))).await
    }

    async fn lists(&self) -> Result<Option<Told>, GatewayError> {
        request(&self.house.app, &self.tenant, &self.principal).await
    }

    /// Calls a tool, and keeps running until the permit is dropped.
    async fn calls(&self, tool: &str) -> Result<Permit, GatewayError> {
        let route = &self.tenant.view().tools[tool];
        let rules = route.limits;
        let toll = Toll {
            rules,
            cost: route.cost,
            server: self.tenant.snapshot().servers[route.server].id,
            tool: Some(&route.native),
            timeout: Duration::from_secs(1),
        };
        let caller = crate::caller::Caller {
            version: patchbay_core::era::Version::NEWEST_LEGACY,
            can: Default::default(),
            share: self.principal.digest(),
            log_level: None,
            params_sent: Vec::new(),
        };
        let (app, tenant, principal) = (self.house.app.clone(), self.tenant.clone(), self.principal.clone());
        let telling = told::Telling::begin(&app.limits);
        call(&Cx { app, tenant, principal, caller, site: None, telling }, toll).await
    }
}

/// By which limit it was refused; nothing when it was not.
fn by<T>(outcome: &Result<T, GatewayError>) -> String {
    match outcome {
        Ok(_) => String::new(),
        Err(GatewayError::Limited { limit, .. }) => limit.to_string(),
        Err(error) => panic!("{error:?}"),
    }
}

#[tokio::test]
async fn one_person_in_two_tenants_has_two_allowances() {
    let house = House::new().await;
    for tenant in ["acme", "umbrella"] {
        house.open(tenant, |row, _| {
            row.limits.principal_per_second = Some(1);
            row.limits.principal_burst = Some(2);
        });
    }
    let (here, there) = (Guest::person(&house, "acme", "ann").await, Guest::person(&house, "umbrella", "ann").await);
    assert_eq!(here.principal.digest(), there.principal.digest());
    for _ in 0..2 {
        assert_eq!(by(&here.lists().await), "");
    }
    let refused = here.lists().await.unwrap_err();
    let GatewayError::Limited { limit, retry_after, told: None } = &refused else { panic!("{refused:?}") };
    assert_eq!(&**limit, "principal");
    assert!(*retry_after > Duration::ZERO && *retry_after <= Duration::from_secs(1), "{retry_after:?}");
    assert_eq!(by(&there.lists().await), "");
    assert_eq!(by(&Guest::person(&house, "acme", "bob").await.lists().await), "");
    assert!(house.app.render_metrics().contains(r#"patchbay_limit_denied_total{limit="principal",tenant="acme"} 1"#));
}

#[tokio::test]
async fn a_heavy_tool_takes_what_it_weighs_and_one_without_weight_nothing() {
    let house = House::new().await;
    house.open("acme", |row, toolset| {
        with(vec![rule("paid", &[], Amount::Rate(hourly(7)))])(row, toolset);
        row.limits.weights = vec![("shop/put".to_owned(), 3), ("shop/*".to_owned(), 0)];
    });
    let ann = Guest::person(&house, "acme", "ann").await;
    for _ in 0..20 {
        assert_eq!(by(&ann.calls("shop_get").await), "");
    }
    for expected in ["", "", "paid"] {
        assert_eq!(by(&ann.calls("shop_put").await), expected);
    }
    assert_eq!(by(&ann.lists().await), "", "one is left, and a list takes one");
    assert_eq!(by(&ann.lists().await), "paid");
}

#[tokio::test]
async fn a_dry_run_refuses_nobody_and_is_counted() {
    let house = House::new().await;
    let trial = |rule| LimitRule { dry_run: true, ..rule };
    house.open(
        "acme",
        with(vec![
            trial(rule("trial", &[], Amount::Rate(hourly(1)))),
            trial(rule("trial_cap", &[], Amount::Concurrent(1))),
        ]),
    );
    let ann = Guest::person(&house, "acme", "ann").await;
    let mut running = Vec::new();
    for _ in 0..3 {
        running.push(ann.calls("shop_get").await.unwrap());
    }
    assert_eq!(by(&ann.lists().await), "");
    let metrics = house.app.render_metrics();
    assert!(metrics.contains(r#"patchbay_limit_would_deny_total{limit="trial",tenant="acme"} 3"#), "{metrics}");
    assert!(metrics.contains(r#"patchbay_limit_would_deny_total{limit="trial_cap",tenant="acme"} 2"#), "{metrics}");
    let mut denied = metrics.lines().filter(|line| line.starts_with("patchbay_limit_denied_total{"));
    assert!(denied.all(|line| line.ends_with(" 0")), "{metrics}");
}

#[tokio::test]
async fn a_limit_of_a_toolset_is_not_met_through_another() {
    let house = House::new().await;
    let mut slow = rule("slow", &[], Amount::Rate(hourly(1)));
    slow.applies.toolsets = vec!["keys".parse().unwrap()];
    let acme = house.open("acme", with(vec![slow]));
    let (key, _) = house.key(acme.id);
    let through = Guest::of(&house, "acme", Some("keys"), &bearer(&key)).await;
    let beside = Guest::of(&house, "acme", None, &bearer(&key)).await;
    assert_eq!(by(&through.lists().await), "");
    assert_eq!(by(&through.calls("shop_get").await), "slow");
    assert_eq!(by(&beside.lists().await), "");
    assert_eq!(by(&beside.calls("shop_get").await), "");
}

#[tokio::test]
async fn a_limit_by_key_counts_each_key_and_no_token() {
    let house = House::new().await;
    let acme = house.open("acme", with(vec![rule("each_key", &[Dimension::Key], Amount::Rate(hourly(1)))]));
    let ((_, one), (_, two)) = (house.key(acme.id), house.key(acme.id));
    house.app.keys.replace(acme.id, &[one, two]);
    let (text, row) = house.key(acme.id);
    let (text_b, row_b) = house.key(acme.id);
    house.app.keys.replace(acme.id, &[row, row_b]);
    let (a, b) = (
        Guest::of(&house, "acme", None, &bearer(&text)).await,
        Guest::of(&house, "acme", None, &bearer(&text_b)).await,
    );
    assert_eq!([by(&a.lists().await), by(&a.lists().await)], ["", "each_key"]);
    assert_eq!(by(&b.lists().await), "");
    let ann = Guest::person(&house, "acme", "ann").await;
    for _ in 0..3 {
        assert_eq!(by(&ann.lists().await), "");
    }
}

#[tokio::test]
async fn a_limit_by_tool_counts_each_tool_by_its_native_name() {
    let house = House::new().await;
    house.open("acme", with(vec![rule("each_tool", &[Dimension::Tool], Amount::Rate(hourly(1)))]));
    let ann = Guest::person(&house, "acme", "ann").await;
    assert_eq!([by(&ann.calls("shop_get").await), by(&ann.calls("shop_get").await)], ["", "each_tool"]);
    assert_eq!(by(&ann.calls("shop_put").await), "");
    assert_eq!(by(&ann.lists().await), "", "a list calls no tool");
}

#[tokio::test]
async fn a_cap_is_given_back_with_the_call_and_what_was_refused_took_nothing() {
    let house = House::new().await;
    let rules = vec![rule("two", &[], Amount::Concurrent(2)), rule("paid", &[], Amount::Rate(hourly(3)))];
    house.open("acme", with(rules));
    let (ann, bob) = (Guest::person(&house, "acme", "ann").await, Guest::person(&house, "acme", "bob").await);
    let running = (ann.calls("shop_get").await.unwrap(), bob.calls("shop_get").await.unwrap());
    for _ in 0..5 {
        assert_eq!(by(&ann.calls("shop_get").await), "two");
    }
    drop(running);
    assert_eq!(by(&bob.calls("shop_get").await), "", "the refused calls took nothing of `paid`");
    assert_eq!(by(&bob.calls("shop_get").await), "paid");
}

#[tokio::test]
async fn what_is_told_is_the_tightest_limit_and_nothing_while_that_is_off() {
    let rules = || vec![rule("paid", &[], Amount::Rate(hourly(5))), rule("cap", &[], Amount::Concurrent(1))];
    let silent = House::new().await;
    silent.open("acme", with(rules()));
    assert_eq!(Guest::person(&silent, "acme", "ann").await.lists().await.unwrap(), None);
    let house = House::with(|config| config.limits.headers = true).await;
    house.open("acme", with(rules()));
    let ann = Guest::person(&house, "acme", "ann").await;
    let told = ann.lists().await.unwrap().unwrap();
    let policy = Policy::Rate { count: 1, period: Duration::from_secs(3600) };
    assert_eq!((&*told.limit, told.policy, told.left, told.after.as_secs()), ("paid", policy, 4, 3600));
    let running = ann.calls("shop_get").await.unwrap();
    let Err(GatewayError::Limited { told: Some(told), retry_after, .. }) = ann.calls("shop_get").await else {
        panic!()
    };
    assert_eq!(*told, Told { limit: "cap".into(), policy: Policy::Concurrent(1), left: 0, after: retry_after });
    drop(running);
}

#[tokio::test]
async fn an_address_that_asks_too_often_is_turned_away_and_its_network_with_it() {
    let house = House::with(|config| config.limits.address = Some(hourly(2))).await;
    let knock = async |address: &str| by(&door::knock(&house.app, address.parse().unwrap()).await);
    assert_eq!([knock("192.0.2.1").await, knock("192.0.2.1").await, knock("192.0.2.1").await], ["", "", "address"]);
    assert_eq!(knock("::ffff:192.0.2.1").await, "address", "the same, written otherwise");
    assert_eq!(knock("192.0.2.2").await, "");
    assert_eq!([knock("2001:db8::1").await, knock("2001:db8::2").await], ["", ""]);
    assert_eq!([knock("2001:db8::3").await, knock("2001:db8:0:1::1").await], ["address", ""]);
    assert!(house.app.render_metrics().contains(r#"patchbay_limit_denied_total{limit="address",tenant=""} 3"#));
}

#[tokio::test]
async fn a_batch_is_as_many_requests_of_its_address_as_it_has_messages() {
    let house = House::with(|config| config.limits.address = Some(hourly(10))).await;
    let batch = async |number: u32, messages| {
        let address = std::net::Ipv4Addr::from_bits(number).into();
        let knocked = by(&door::knock(&house.app, address).await);
        (knocked, by(&door::knock_further(&house.app, address, messages).await))
    };
    let said = |first: &str, further: &str| (first.to_owned(), further.to_owned());
    assert_eq!(batch(1, 4).await, said("", ""));
    assert_eq!(batch(1, 6).await, said("", ""));
    assert_eq!(batch(1, 1).await, said("address", ""));
    assert_eq!([batch(2, 4).await, batch(2, 7).await], [said("", ""), said("", "address")]);
    assert_eq!(batch(3, 50).await, said("", ""), "one that could never fit passes alone");
    assert_eq!(batch(3, 50).await, said("address", "address"));
}

#[tokio::test]
async fn what_is_not_limited_is_not_counted() {
    let house = House::with(|config| (config.limits.address, config.limits.failed_sign_ins) = (None, None)).await;
    house.open("acme", with(Vec::new()));
    for _ in 0..50 {
        assert_eq!(by(&door::knock(&house.app, PEER.ip).await), "");
        let refused = house.identify(&house.door("acme", None), &bearer("pb_wrong")).await.unwrap_err();
        assert!(matches!(refused, GatewayError::BadCredential(_)));
    }
}

/// A house in which a few failed sign-ins are too many, and a tenant that takes keys and tokens.
async fn strict(failures: u32) -> (House, TenantRow) {
    let house = House::with(|config| config.limits.failed_sign_ins = Some(hourly(failures))).await;
    let acme = house.open("acme", with(Vec::new()));
    (house, acme)
}

#[tokio::test]
async fn after_too_many_failures_all_that_is_unknown_is_told_the_same_and_what_is_known_comes_in() {
    let (house, acme) = strict(2).await;
    let (key, _) = house.key(acme.id);
    let good = |subject: &str| bearer(&house.issuer.token(&json!({ "sub": subject })));
    let warm = good("ann");
    house.identify(&house.door("acme", None), &warm).await.unwrap();
    let nothing = HeaderMap::new();
    for _ in 0..5 {
        // No credential is no failed one.
        let stranger = house.identify(&house.door("acme", None), &nothing).await.unwrap_err();
        assert!(matches!(stranger, GatewayError::Unauthenticated(_)));
    }
    for bad in ["pb_wrong", "a.b.c"] {
        let refused = house.identify(&house.door("acme", None), &bearer(bad)).await.unwrap_err();
        assert!(matches!(refused, GatewayError::BadCredential(_)), "{refused:?}");
    }
    let asked = house.issuer.asked();
    let cold = good("bob");
    let other = house.issuer.token(&json!({ "aud": "https://tools.example/t/other/mcp" }));
    let mut told = std::collections::BTreeSet::new();
    for (tenant, toolset) in [("acme", None), ("acme", Some("keys")), ("nobody", None)] {
        for headers in [bearer("pb_wrong"), bearer("a.b.c"), bearer("opaque"), bearer(&other), cold.clone()] {
            let refused = house.identify(&house.door(tenant, toolset), &headers).await.unwrap_err();
            assert!(matches!(refused, GatewayError::Limited { .. }), "{tenant} {toolset:?}: {refused:?}");
            told.insert(refused.to_string());
        }
    }
    assert_eq!(told.into_iter().collect::<Vec<_>>(), ["over the limit sign_in"]);
    assert_eq!(house.issuer.asked(), asked, "nobody was asked about any of them");
    house.identify(&house.door("acme", None), &warm).await.unwrap();
    house.identify(&house.door("acme", None), &bearer(&key)).await.unwrap();
    // From another address.
    let elsewhere = Peer { ip: "192.0.2.77".parse().unwrap(), loopback: false };
    let site = crate::auth::tests::house::site();
    let door = house.door("acme", None);
    let now_ms = crate::audit::now_ms();
    crate::auth::identify(&house.app, &door, &cold, elsewhere, Some(&site), now_ms, &mut house.trail()).await.unwrap();
}

#[tokio::test]
async fn a_token_that_is_good_elsewhere_is_no_failure() {
    let (house, _) = strict(1).await;
    house.open("umbrella", |_, _| ());
    let token = house.issuer.token(&json!({ "aud": "https://tools.example/t/umbrella/mcp" }));
    for _ in 0..3 {
        let refused = house.identify(&house.door("acme", Some("keys")), &bearer(&token)).await.unwrap_err();
        assert!(matches!(refused, GatewayError::NotFound), "{refused:?}");
    }
}

#[tokio::test]
async fn an_issuer_that_does_not_answer_makes_no_failures() {
    let (house, _) = strict(1).await;
    house.issuer.is_down.store(true, std::sync::atomic::Ordering::SeqCst);
    for _ in 0..3 {
        let token = house.issuer.token(&json!({}));
        let refused = house.identify(&house.door("acme", None), &bearer(&token)).await.unwrap_err();
        assert!(matches!(refused, GatewayError::SignInUnavailable), "{refused:?}");
    }
}

#[tokio::test]
async fn a_flood_at_the_door_leaves_one_record_for_each_address_and_a_bounded_number_in_all() {
    let house = House::with(|config| config.limits.address = Some(hourly(1))).await;
    let recorded = async |address: std::net::IpAddr| {
        let mut trail = house.trail();
        door::hush(&house.app, address, &mut trail).await;
        trail.request_id().is_some()
    };
    let first: std::net::IpAddr = "192.0.2.1".parse().unwrap();
    assert!(recorded(first).await);
    for _ in 0..100 {
        assert!(!recorded(first).await);
    }
    let mut records = 0;
    for number in 0..1000_u32 {
        records += u32::from(recorded(std::net::Ipv4Addr::from_bits(number).into()).await);
    }
    assert!((50..=62).contains(&records), "{records} records");
}

#[tokio::test]
async fn strangers_who_are_refused_one_by_one_do_not_fill_the_audit() {
    let house = House::new().await;
    house.open("acme", with(Vec::new()));
    let ann = Guest::person(&house, "acme", "ann").await;
    let (mut of_strangers, mut of_ann) = (0, 0);
    for _ in 0..1000 {
        let (mut stranger, mut known) = (house.trail(), house.trail());
        known.known(ann.tenant.id(), &ann.tenant.view().toolset, ann.principal.actor());
        for (trail, count) in [(&mut stranger, &mut of_strangers), (&mut known, &mut of_ann)] {
            door::hush_stranger(&house.app, PEER.ip, trail).await;
            *count += u32::from(trail.request_id().is_some());
        }
    }
    assert!((600..=700).contains(&of_strangers), "{of_strangers} records of strangers");
    assert_eq!(of_ann, 1000, "who is known has a record for each");
    let unrecorded = 1000 - of_strangers;
    assert!(house.app.render_metrics().contains(&format!("patchbay_audit_strangers_unrecorded_total {unrecorded}\n")));
}

/// Does not count, and says so.
struct Gone;

impl Limiter for Gone {
    fn take(&self, _: &Ask<'_>, _: u64) -> Take {
        Take::Ready(Decision::Denied(Refused { at: 1, retry_after: Duration::from_secs(1), away: true }))
    }

    fn look<'a>(
        &'a self,
        _: &'a Ask<'a>,
        _: u64,
    ) -> std::pin::Pin<Box<dyn Future<Output = Vec<Standing>> + Send + 'a>> {
        Box::pin(std::future::ready(Vec::new()))
    }

    fn mode(&self) -> Mode {
        Mode::Away
    }
}

#[tokio::test]
async fn a_limit_that_nobody_can_count_is_the_gateways_fault_and_says_so() {
    let mut house = House::new().await;
    Arc::get_mut(&mut house.app).unwrap().limits.tenants = Arc::new(Gone);
    house.open("acme", with(vec![rule("paid", &[], Amount::Rate(hourly(1)))]));
    let ann = Guest::person(&house, "acme", "ann").await;
    let refused = ann.lists().await.unwrap_err();
    assert!(matches!(&refused, GatewayError::LimitsAway { limit } if &**limit == "paid"), "{refused:?}");
}

#[tokio::test]
async fn the_mode_is_read_from_the_limiter_and_changes_are_told() {
    let house = House::new().await;
    let watcher: Watcher = house.app.limits.modes.watcher();
    watcher(Mode::Away, "timeout");
    let metrics = house.app.render_metrics();
    assert!(metrics.contains(r#"patchbay_limiter_mode{mode="memory"} 1"#), "{metrics}");
    assert!(metrics.contains(r#"patchbay_limiter_mode{mode="away"} 0"#), "{metrics}");
}

#[tokio::test]
async fn a_look_tells_what_is_left_and_what_has_to_be_named_and_takes_nothing() {
    let house = House::new().await;
    let mut of_keys = rule("of_keys", &[], Amount::Rate(hourly(1)));
    of_keys.applies.toolsets = vec!["keys".parse().unwrap()];
    let acme = house.open(
        "acme",
        with(vec![
            rule("paid", &[], Amount::Rate(hourly(5))),
            rule("each_tool", &[Dimension::Principal, Dimension::Tool], Amount::Rate(hourly(2))),
            rule("each_key", &[Dimension::Key], Amount::Rate(hourly(9))),
            of_keys,
        ]),
    );
    let (_, key) = house.key(acme.id);
    let ann = Guest::person(&house, "acme", "ann").await;
    let _running = ann.calls("shop_get").await.unwrap();
    let ask = async |principal: Option<&str>, tool: Option<&str>| {
        let principal = principal.map(str::to_owned);
        let question =
            Question { tenant: "acme".into(), principal, tool: tool.map(str::to_owned), ..Question::default() };
        let report = look::look(&house.app, &question).await.unwrap();
        let rows = report.limits.into_iter();
        rows.map(|row| (row.name, row.left, row.needs)).collect::<Vec<_>>()
    };
    let row = |name: &str, left, needs| (name.to_owned(), left, needs);
    let of_ann = [
        row("principal_concurrency", Some(63), None),
        row("paid", Some(4), None),
        row("each_tool", None, Some(Dimension::Tool)),
    ];
    for _ in 0..2 {
        let told = ask(Some("corp:ann"), None).await;
        assert!(
            told[0].0 == "principal" && told[0].1 >= Some(399),
            "that comes back too soon to be the same: {told:?}"
        );
        assert_eq!(told[1..], of_ann);
    }
    let with_tool = ask(Some("corp:ann"), Some("shop/get")).await;
    assert_eq!(with_tool[3], row("each_tool", Some(1), None));
    assert_eq!(ask(Some("corp:ann"), Some("shop/put")).await[3], row("each_tool", Some(2), None));
    let of_nobody = ask(None, None).await;
    assert_eq!(of_nobody[0], row("principal", None, Some(Dimension::Principal)));
    assert_eq!(of_nobody[2], row("paid", Some(4), None));
    let of_key = ask(Some(&key.id.to_string()), None).await;
    assert_eq!(of_key[0], row("principal", Some(400), None));
    assert_eq!(of_key.last().unwrap(), &row("each_key", Some(9), None));
}

#[tokio::test]
async fn a_look_for_what_is_not_there_says_what_there_is() {
    let house = House::new().await;
    let acme = house.open("acme", with(Vec::new()));
    let (_, foreign) = house.key(house.open("umbrella", with(Vec::new())).id);
    assert_ne!(acme.id, foreign.tenant);
    let good = || Question { tenant: "acme".into(), ..Question::default() };
    let some = |text: &str| Some(text.to_owned());
    for (question, expected) in [
        (Question { tenant: "nobody".into(), ..good() }, "there is no tenant `nobody` here"),
        (Question { toolset: some("none"), ..good() }, "no toolset `none`; it has: default, keys"),
        (Question { principal: some(&foreign.id.to_string()), ..good() }, "the tenant has no key"),
        (Question { principal: some("ann"), ..good() }, "`ann` is no principal: expected the id of an API key"),
        (Question { principal: some("lab:ann"), ..good() }, "no issuer `lab`; it has: corp"),
        (Question { server: some("store"), ..good() }, "no server `store`; it has: shop"),
        (Question { tool: some("get"), ..good() }, "no tool `get`: expected server/native"),
        (Question { tool: some("shop/shop_get"), ..good() }, "no tool `shop/shop_get`: expected server/native"),
    ] {
        let said = look::look(&house.app, &question).await.unwrap_err().to_string();
        assert!(said.contains(expected), "{said}");
    }
}

/// Where a Redis is; `None` where no services are wanted.
fn redis() -> Option<String> {
    let url = std::env::var("PATCHBAY_TEST_REDIS_URL").ok();
    let is_required = std::env::var_os("PATCHBAY_TEST_REQUIRE_SERVICES").is_some();
    assert!(url.is_some() || !is_required, "PATCHBAY_TEST_REQUIRE_SERVICES is set: expected PATCHBAY_TEST_REDIS_URL");
    url
}

/// A house on that Redis, once it counts there.
async fn shared(url: &str, prefix: &str) -> House {
    let house = House::with(|config| {
        config.redis = Some(patchbay_config::RedisConfig {
            url: url.to_owned().into(),
            timeout: Duration::from_secs(1),
            prefix: prefix.to_owned(),
        });
    })
    .await;
    let counts = async {
        while house.app.limits.tenants.mode() != Mode::Shared {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), counts).await.unwrap();
    house
}

#[tokio::test]
async fn two_gateways_on_one_redis_share_one_allowance_and_tell_it_alike() {
    let Some(url) = redis() else { return };
    let prefix = format!("test-{:032x}", u128::from_ne_bytes(patchbay_core::random_bytes()))[..37].to_owned();
    let houses = [shared(&url, &prefix).await, shared(&url, &prefix).await];
    let id = patchbay_core::TenantId::random();
    for house in &houses {
        house.open("acme", |row, toolset| {
            row.id = id;
            with(vec![rule("paid", &[], Amount::Rate(hourly(4))), rule("two", &[], Amount::Concurrent(2))])(
                row, toolset,
            );
        });
    }
    let [here, there] = &houses;
    let (ann, bob) = (Guest::person(here, "acme", "ann").await, Guest::person(there, "acme", "bob").await);
    let running = (ann.calls("shop_get").await.unwrap(), bob.calls("shop_get").await.unwrap());
    assert_eq!([by(&ann.calls("shop_get").await), by(&bob.calls("shop_get").await)], ["two", "two"]);
    for house in &houses {
        let question = Question { tenant: "acme".into(), ..Question::default() };
        let report = look::look(&house.app, &question).await.unwrap();
        let left: Vec<_> = report.limits.iter().map(|row| (row.name.as_str(), row.left)).collect();
        assert_eq!(left[2..], [("paid", Some(2)), ("two", Some(0))]);
        assert_eq!(report.mode, "shared");
    }
    drop(running);
    assert_eq!([by(&ann.lists().await), by(&bob.lists().await)], ["", ""]);
    let before = (there.app.limits.stats)();
    for _ in 0..10 {
        assert_eq!(by(&bob.lists().await), "paid");
    }
    let after = (there.app.limits.stats)();
    assert_eq!(after.round_trips - before.round_trips, 1, "one who was refused is refused again without asking");
    assert_eq!(after.refused_locally - before.refused_locally, 9);
    assert_eq!(after.fallbacks, 0);
}
