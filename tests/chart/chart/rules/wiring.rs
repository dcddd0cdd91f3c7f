//! Rules about how objects fit together: selectors, ports, mounts, names. What a cluster finds out only when it runs.

use std::collections::BTreeSet;

use super::{Rule, hold};
use crate::chart::rendered::{Chart, list, selects, text, texts, title};

pub(super) const RULES: &[Rule] = &[
    Rule {
        says: "Selectors find gateways and nobody else, and have nothing that changes with a version.",
        finds: selectors,
        broken: ("default", "Service", "/spec/selector", r#"{"app.kubernetes.io/name":"patchbay"}"#),
    },
    Rule {
        says: "The ports of pods are those that the gateway listens on, and services name them.",
        finds: ports,
        broken: ("load-balancer", "Deployment", "/spec/template/spec/containers/0/ports/0/containerPort", "8080"),
    },
    Rule {
        says: "Every mount has its volume, every volume its mount, and every file that the configuration names its place.",
        finds: mounts,
        broken: (
            "tuned",
            "Deployment",
            "/spec/template/spec/containers/0/volumeMounts/1/mountPath",
            "\"/etc/patchbay/elsewhere\"",
        ),
    },
    Rule {
        says: "Names are short enough, and no two objects have one name.",
        finds: names,
        broken: (
            "ha",
            "ServiceAccount",
            "/metadata/name",
            "\"a-name-that-is-longer-than-the-sixty-three-characters-of-a-label-may\"",
        ),
    },
    Rule {
        says: "Every object says to which release, chart and part it belongs.",
        finds: labels,
        broken: ("tuned", "Ingress", "/metadata/labels/team", "null"),
    },
    Rule {
        says: "The gateway is started with the configuration that is mounted.",
        finds: started,
        broken: ("default", "Deployment", "/spec/template/spec/containers/0/args", r#"["serve"]"#),
    },
];

fn selectors(chart: &Chart) -> Vec<String> {
    let mut found = Vec::new();
    let services = chart.of("Service").map(|service| (title(service), &service["spec"]["selector"]));
    let workload = chart.workload();
    let all = services.chain([(title(workload), &workload["spec"]["selector"]["matchLabels"])]);
    for (name, selector) in all {
        for pod in chart.pods() {
            let is_gateway = pod.name == title(workload);
            let hit = selects(selector, &pod.metadata["labels"]);
            hold!(found, hit == is_gateway, "{name} and the pod of {}", pod.name);
        }
        let changes = selector.as_object().into_iter().flatten();
        let changing = changes.map(|(name, _)| name).find(|name| name.contains("version") || name.contains("chart"));
        hold!(found, changing.is_none(), "{name} selects by {changing:?}");
    }
    found
}

fn ports(chart: &Chart) -> Vec<String> {
    let (mut found, config) = (Vec::new(), chart.config());
    let declared: Vec<_> = list(&chart.container()["ports"]).collect();
    for port in &declared {
        let listens = text(&config["listen"][text(&port["name"])]);
        let (address, number) = listens.rsplit_once(':').unwrap_or_default();
        hold!(found, port["containerPort"].as_u64() == number.parse().ok(), "{} listens on {listens}", port["name"]);
        hold!(found, ["0.0.0.0", "[::]"].contains(&address), "nobody reaches {listens}");
        hold!(found, number.parse::<u16>().is_ok_and(|number| number >= 1024), "{number} is for root");
    }
    for service in chart.of("Service") {
        for port in list(&service["spec"]["ports"]) {
            let there = declared.iter().any(|one| one["name"] == port["targetPort"]);
            hold!(found, there && !text(&port["name"]).is_empty(), "{}: {port}", title(service));
        }
    }
    found
}

fn mounts(chart: &Chart) -> Vec<String> {
    let mut found = Vec::new();
    let claimed = list(&chart.workload()["spec"]["volumeClaimTemplates"]).map(|claim| text(&claim["metadata"]["name"]));
    let claimed: Vec<_> = claimed.collect();
    for pod in chart.pods() {
        let mut volumes: BTreeSet<_> = list(&pod.spec["volumes"]).map(|volume| text(&volume["name"])).collect();
        if pod.name == title(chart.workload()) {
            volumes.extend(&claimed);
        }
        let mounted = pod.containers().into_iter().flat_map(|one| list(&one["volumeMounts"]));
        let mounted: BTreeSet<_> = mounted.map(|mount| text(&mount["name"])).collect();
        hold!(found, volumes == mounted, "{}: volumes {volumes:?}, mounts {mounted:?}", pod.name);
    }
    let config = chart.config();
    for file in texts(&config).iter().flat_map(|text| text.split("file:").skip(1)) {
        let file = file.split('}').next().unwrap_or_default();
        let mount = list(&chart.container()["volumeMounts"])
            .find(|mount| file.strip_prefix(text(&mount["mountPath"])).is_some_and(|rest| rest.starts_with('/')));
        let Some(mount) = mount else {
            found.push(format!("{file} is on no volume"));
            continue;
        };
        let volume = list(&chart.gateway().spec["volumes"]).find(|volume| volume["name"] == mount["name"]).unwrap();
        let items: Vec<_> = list(&volume["secret"]["items"]).map(|item| text(&item["path"])).collect();
        let name = file.rsplit('/').next().unwrap_or_default();
        hold!(found, items.is_empty() || items.contains(&name), "{file} is not among {items:?}");
    }
    let data = text(&config["data_dir"]);
    let mounted = list(&chart.container()["volumeMounts"]).find(|mount| mount["name"] == "data");
    hold!(found, mounted.is_some_and(|mount| mount["mountPath"] == data), "{data} is on no volume");
    found
}

fn names(chart: &Chart) -> Vec<String> {
    let (mut found, mut seen) = (Vec::new(), BTreeSet::new());
    for object in &chart.objects {
        let name = text(&object["metadata"]["name"]);
        hold!(found, (1..=63).contains(&name.len()), "{}", title(object));
        hold!(found, seen.insert(title(object)), "{} is there twice", title(object));
    }
    found
}

fn labels(chart: &Chart) -> Vec<String> {
    let mut found = Vec::new();
    let common = chart.given["commonLabels"].as_object().cloned().unwrap_or_default();
    for object in &chart.objects {
        let labels = &object["metadata"]["labels"];
        for name in ["name", "instance", "component", "version", "managed-by"] {
            let label = format!("app.kubernetes.io/{name}");
            hold!(found, labels[&label].is_string(), "{} lacks {label}", title(object));
        }
        let lost = common.iter().find(|(name, value)| labels[*name] != **value);
        hold!(found, lost.is_none(), "{} lacks {lost:?}", title(object));
    }
    found
}

fn started(chart: &Chart) -> Vec<String> {
    let mut found = Vec::new();
    let args: Vec<_> = list(&chart.container()["args"]).map(text).collect();
    hold!(found, args == ["serve", "--config", "/etc/patchbay/config/patchbay.yaml"], "{args:?}");
    let mount = list(&chart.container()["volumeMounts"]).find(|mount| mount["mountPath"] == "/etc/patchbay/config");
    let volume =
        list(&chart.gateway().spec["volumes"]).find(|one| one["name"] == "config").cloned().unwrap_or_default();
    hold!(found, mount.is_some_and(|mount| mount["name"] == "config" && mount["readOnly"] == true), "{mount:?}");
    hold!(found, volume["configMap"]["name"] == chart.name(), "{volume}");
    found
}
