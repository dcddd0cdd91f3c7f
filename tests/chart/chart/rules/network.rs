//! Rules about who reaches whom: policies and services. Objects only; whether a cluster's network holds to policies is the cluster's.

use std::net::IpAddr;

use serde_json::{Value, json};

use super::{Rule, hold};
use crate::chart::rendered::{Chart, list, selects, text, title};

pub(super) const RULES: &[Rule] = &[
    Rule {
        says: "Every pod of the release is cut off, but for what another policy says.",
        finds: denied,
        broken: ("default", "NetworkPolicy", "/spec/egress", "[{}]"),
    },
    Rule {
        says: "Only those that are listed come in, each to its port.",
        finds: who_comes_in,
        broken: ("no-redis", "Service", "/spec/ports/0/targetPort", "\"operations\""),
    },
    Rule {
        says: "No rule is for everybody by leaving out whom it is for.",
        finds: nobody_by_omission,
        broken: ("admin", "NetworkPolicy", "/spec/ingress", r#"[{"ports":[{"protocol":"TCP","port":8080}]}]"#),
    },
    Rule {
        says: "The cloud's metadata and the cluster's own networks are out of reach.",
        finds: out_of_reach,
        broken: (
            "tuned",
            "NetworkPolicy",
            "/spec/egress",
            r#"[{"to":[{"ipBlock":{"cidr":"0.0.0.0/0","except":["10.0.0.0/8"]}}],"ports":[{"port":443}]}]"#,
        ),
    },
    Rule {
        says: "Clients have a service with one port, and neither operators nor administrators are behind it.",
        finds: public_service,
        broken: ("admin", "Service", "/spec/ports/0/targetPort", "\"admin\""),
    },
    Rule {
        says: "The admin API is on loopback, or on a service of its own.",
        finds: admin,
        broken: (
            "quiet",
            "Deployment",
            "/spec/template/spec/containers/0/ports/1",
            r#"{"name":"admin","containerPort":9091}"#,
        ),
    },
    Rule {
        says: "The ingress passes streams on as they come, for longer than any call.",
        finds: ingress,
        broken: ("tuned", "Ingress", "/metadata/annotations/nginx.ingress.kubernetes.io~1proxy-buffering", "\"on\""),
    },
    Rule {
        says: "The route of the Gateway API has no end of its own, and leads to clients' paths alone.",
        finds: route,
        broken: ("gateway-api", "HTTPRoute", "/spec/rules/0/timeouts", r#"{"request":"60s"}"#),
    },
];

fn policies(chart: &Chart) -> Vec<&Value> {
    chart.of("NetworkPolicy").collect()
}

fn is_off(chart: &Chart) -> bool {
    chart.given["networkPolicy"]["enabled"] == false
}

fn denied(chart: &Chart) -> Vec<String> {
    let mut found = Vec::new();
    if is_off(chart) {
        hold!(found, policies(chart).is_empty(), "there are policies");
        return found;
    }
    let denies = |policy: &&&Value| policy["spec"]["ingress"].is_null() && policy["spec"]["egress"].is_null();
    let policies = policies(chart);
    let wall: Vec<_> = policies.iter().filter(denies).collect();
    hold!(found, wall.len() == 1, "{} policies deny all", wall.len());
    for policy in &policies {
        hold!(found, policy["spec"]["policyTypes"] == json!(["Ingress", "Egress"]), "{} is half", title(policy));
    }
    for pod in chart.pods() {
        let labels = &pod.metadata["labels"];
        let walled = wall.iter().any(|policy| selects(&policy["spec"]["podSelector"]["matchLabels"], labels));
        hold!(found, walled, "{} is not behind it", pod.name);
        let opened = policies.iter().filter(|policy| selects(&policy["spec"]["podSelector"]["matchLabels"], labels));
        hold!(found, opened.count() == 2, "{} has not one policy of its own", pod.name);
    }
    found
}

/// The gateway's own policy.
fn own(chart: &Chart) -> Option<&Value> {
    chart.named("NetworkPolicy", chart.name()).map(|policy| &policy["spec"])
}

fn who_comes_in(chart: &Chart) -> Vec<String> {
    let mut found = Vec::new();
    let Some(spec) = own(chart) else { return found };
    let config = chart.config();
    let port = |name: &str| text(&config["listen"][name]).rsplit(':').next().and_then(|port| port.parse::<u64>().ok());
    let [mcp, operations, admin] = ["mcp", "operations", "admin"].map(port);
    for rule in list(&spec["ingress"]) {
        let ports: Vec<_> = list(&rule["ports"]).map(|port| port["port"].as_u64()).collect();
        hold!(found, ports.len() == 1, "{rule}");
        let from = &rule["from"];
        let gateways = &spec["podSelector"]["matchLabels"];
        if ports[0] == mcp && from[0]["podSelector"]["matchLabels"] == *gateways {
            hold!(found, !chart.is_embedded() && list(from).count() == 1, "other replicas from {from}");
        } else if ports[0] == mcp {
            let given = &chart.given["networkPolicy"]["ingress"]["from"];
            hold!(found, given.is_null() || given == from, "clients from {from}");
        } else if ports[0] == admin {
            hold!(found, *from == chart.given["networkPolicy"]["admin"]["from"], "administrators from {from}");
            hold!(found, chart.given["admin"]["listen"] == "cluster", "a port that nobody listens on");
        } else {
            hold!(found, ports[0] == operations, "{rule}");
        }
    }
    // What the policy opens is what the service leads to.
    let service = chart.named("Service", chart.name()).unwrap();
    hold!(found, service["spec"]["ports"][0]["targetPort"] == "mcp", "clients come to another port");
    found
}

fn nobody_by_omission(chart: &Chart) -> Vec<String> {
    let mut found = Vec::new();
    for policy in policies(chart) {
        for (rules, peers) in [("ingress", "from"), ("egress", "to")] {
            for rule in list(&policy["spec"][rules]) {
                hold!(found, list(&rule[peers]).count() > 0, "{}: {rules} {rule}", title(policy));
                hold!(found, list(&rule["ports"]).count() > 0, "{}: {rules} {rule}", title(policy));
                let all = list(&rule[peers]).any(|peer| *peer == json!({"namespaceSelector": {}}));
                hold!(found, !all, "{}: {rules} for every pod: {rule}", title(policy));
            }
        }
    }
    found
}

/// What no rule reaches that is not for that very network.
const FORBIDDEN: [&str; 8] = [
    "169.254.169.254", // metadata of clouds
    "169.254.170.2",   // of containers there
    "10.96.0.1",       // the cluster's API, as most clusters have it
    "10.244.0.7",      // a pod
    "172.20.0.1",      // the cluster's API elsewhere
    "192.168.1.1",
    "fd00:ec2::254", // metadata over IPv6
    "fe80::1",
];

fn out_of_reach(chart: &Chart) -> Vec<String> {
    let mut found = Vec::new();
    let listed = serde_json::to_string(&chart.given["networkPolicy"]).unwrap();
    for policy in policies(chart) {
        for peer in list(&policy["spec"]["egress"]).flat_map(|rule| list(&rule["to"])) {
            let block = &peer["ipBlock"];
            if block.is_null() || listed.contains(&format!("\"{}\"", text(&block["cidr"]))) {
                continue;
            }
            for address in FORBIDDEN {
                let address: IpAddr = address.parse().unwrap();
                let open = within(address, text(&block["cidr"]))
                    && !list(&block["except"]).any(|network| within(address, text(network)));
                hold!(found, !open, "{} reaches {address}", title(policy));
            }
            for network in list(&block["except"]).map(text) {
                let family = network.contains(':') == text(&block["cidr"]).contains(':');
                hold!(found, family, "{network} is no part of {}", block["cidr"]);
            }
        }
    }
    if let Some(spec) = own(chart) {
        let ports: Vec<_> = list(&spec["egress"])
            .flat_map(|rule| list(&rule["ports"]))
            .map(|port| port["port"].as_u64().unwrap())
            .collect();
        hold!(found, ports.contains(&53), "it can resolve no name");
        let database = chart.given["networkPolicy"]["postgres"]["port"].as_u64().unwrap_or(5432);
        hold!(found, chart.is_embedded() != ports.contains(&database), "Postgres among {ports:?}");
    }
    found
}

fn within(address: IpAddr, network: &str) -> bool {
    let (base, bits) = network.split_once('/').unwrap();
    let bits: u32 = bits.parse().unwrap();
    match (address, base.parse().unwrap()) {
        (IpAddr::V4(address), IpAddr::V4(base)) => (u32::from(address) ^ u32::from(base)).leading_zeros() >= bits,
        (IpAddr::V6(address), IpAddr::V6(base)) => (u128::from(address) ^ u128::from(base)).leading_zeros() >= bits,
        _ => false,
    }
}

fn public_service(chart: &Chart) -> Vec<String> {
    let mut found = Vec::new();
    for service in chart.of("Service") {
        let targets: Vec<_> = list(&service["spec"]["ports"]).map(|port| text(&port["targetPort"])).collect();
        let public = service["metadata"]["name"] == chart.name();
        hold!(found, targets.len() == 1 && (targets == ["mcp"]) == public, "{} leads to {targets:?}", title(service));
        hold!(found, public || service["spec"]["type"] == "ClusterIP", "{} is open to all", title(service));
    }
    let wanted = chart.given["service"]["type"].as_str().unwrap_or("ClusterIP");
    let service = chart.named("Service", chart.name()).unwrap();
    hold!(found, service["spec"]["type"] == wanted, "{}", service["spec"]["type"]);
    found
}

fn admin(chart: &Chart) -> Vec<String> {
    let (mut found, config) = (Vec::new(), chart.config());
    let listens = text(&config["listen"]["admin"]);
    let has_port = list(&chart.container()["ports"]).any(|port| port["name"] == "admin");
    let services: Vec<_> =
        chart.of("Service").filter(|one| text(&one["metadata"]["name"]).ends_with("-admin")).collect();
    match chart.given["admin"]["listen"].as_str().unwrap_or("loopback") {
        "cluster" => {
            hold!(found, listens == "0.0.0.0:9091" && has_port && services.len() == 1, "{listens}, {services:?}");
            let hosts = list(&config["admin"]["allowed_hosts"]).map(text).collect::<Vec<_>>();
            hold!(found, hosts.contains(&"patchbay-admin.tools.svc"), "administrators cannot name it: {hosts:?}");
        }
        "off" => hold!(found, listens == "off" && !has_port && services.is_empty(), "{listens}, {services:?}"),
        _ => hold!(
            found,
            listens.starts_with("127.0.0.1:") && !has_port && services.is_empty(),
            "{listens}, {services:?}"
        ),
    }
    found
}

/// The paths that clients need, and no other is open.
fn client_paths(prefix: &str) -> Vec<String> {
    let documents = ["oauth-protected-resource", "oauth-authorization-server", "openid-configuration"];
    let documents = documents.iter().map(|name| format!("/.well-known/{name}"));
    std::iter::once(format!("{prefix}/t")).chain(documents).collect()
}

fn ingress(chart: &Chart) -> Vec<String> {
    let (mut found, config) = (Vec::new(), chart.config());
    let given = &chart.given["ingress"];
    hold!(found, chart.of("Ingress").count() == usize::from(given["enabled"] == true), "an ingress or none");
    for ingress in chart.of("Ingress") {
        let of_nginx = |name: &str| {
            text(&ingress["metadata"]["annotations"][format!("nginx.ingress.kubernetes.io/{name}")]).to_owned()
        };
        for name in ["proxy-buffering", "proxy-request-buffering"] {
            hold!(found, of_nginx(name) == "off", "{name} is {}", of_nginx(name));
        }
        let longest = config["limits"]["call_timeout_max_s"].as_u64().unwrap_or(600);
        for name in ["proxy-read-timeout", "proxy-send-timeout"] {
            let seconds = of_nginx(name).parse::<u64>().unwrap_or(0);
            hold!(found, seconds > longest, "{name}: {seconds} s for calls of {longest} s");
        }
        let bytes = config["limits"]["body_bytes_max"].as_u64().unwrap_or(4 << 20);
        hold!(found, of_nginx("proxy-body-size") == bytes.to_string(), "{bytes} and {}", of_nginx("proxy-body-size"));
        hold!(found, of_nginx("proxy-next-upstream") == "error", "a call may be sent twice");
        let rule = &ingress["spec"]["rules"][0];
        let paths: Vec<_> = list(&rule["http"]["paths"]).collect();
        let names: Vec<_> = paths.iter().map(|path| text(&path["path"]).to_owned()).collect();
        hold!(found, names == client_paths(text(&given["pathPrefix"])), "{names:?}");
        for path in paths {
            let service = &path["backend"]["service"];
            hold!(found, service["name"] == chart.name() && service["port"]["name"] == "http", "{path}");
        }
        let hosts = &ingress["spec"]["tls"][0]["hosts"];
        hold!(found, *hosts == json!([rule["host"]]) && rule["host"] == given["host"], "TLS for {hosts}");
        let url = text(&config["public_url"]);
        hold!(found, url.starts_with(&format!("https://{}", text(&given["host"]))), "tokens are for {url}");
        for (name, value) in given["annotations"].as_object().into_iter().flatten() {
            hold!(found, ingress["metadata"]["annotations"][name] == *value, "{name} was lost");
        }
    }
    found
}

fn route(chart: &Chart) -> Vec<String> {
    let mut found = Vec::new();
    hold!(found, chart.of("HTTPRoute").count() == usize::from(chart.set == "gateway-api"), "a route or none");
    for route in chart.of("HTTPRoute") {
        let rule = &route["spec"]["rules"][0];
        hold!(found, rule["timeouts"] == json!({"request": "0s", "backendRequest": "0s"}), "{}", rule["timeouts"]);
        let paths: Vec<_> = list(&rule["matches"]).map(|one| text(&one["path"]["value"]).to_owned()).collect();
        hold!(found, paths == client_paths(""), "{paths:?}");
        let service = chart.named("Service", text(&rule["backendRefs"][0]["name"])).unwrap();
        hold!(found, rule["backendRefs"][0]["port"] == service["spec"]["ports"][0]["port"], "{}", rule["backendRefs"]);
        hold!(found, route["spec"]["parentRefs"] == chart.given["httpRoute"]["parentRefs"], "another gateway");
    }
    found
}
