//! Rules about who looks at the gateways: Prometheus, its alerts, and Grafana's dashboards.

use std::fs;

use super::{Rule, hold};
use crate::chart::{
    helm::folder,
    rendered::{Chart, list, one, selects, text},
};

pub(super) const RULES: &[Rule] = &[
    Rule {
        says: "Prometheus finds every replica, by the port that has metrics, as a job that the alerts know.",
        finds: monitor,
        broken: ("ha", "ServiceMonitor", "/spec/endpoints/0/port", "\"metrics\""),
    },
    Rule {
        says: "The alerts are those of the rules file, word for word.",
        finds: alerts,
        broken: ("ha", "PrometheusRule", "/spec/groups/0/rules/0/expr", "\"vector(1)\""),
    },
    Rule {
        says: "Every dashboard is there, for Grafana's sidecar, as it is in the folder.",
        finds: dashboards,
        broken: ("ha", "ServiceMonitor", "/kind", "\"ConfigMap\""),
    },
];

fn monitor(chart: &Chart) -> Vec<String> {
    let mut found = Vec::new();
    let wanted = chart.given["metrics"]["serviceMonitor"]["enabled"] != false;
    hold!(found, chart.of("ServiceMonitor").count() == usize::from(wanted), "a monitor or none");
    for monitor in chart.of("ServiceMonitor") {
        let selector = &monitor["spec"]["selector"]["matchLabels"];
        let services: Vec<_> =
            chart.of("Service").filter(|one| selects(selector, &one["metadata"]["labels"])).collect();
        hold!(found, services.len() == 1, "it finds {} services", services.len());
        let (Some(service), endpoint) = (services.first(), &monitor["spec"]["endpoints"][0]) else { continue };
        let port = list(&service["spec"]["ports"]).find(|port| port["name"] == endpoint["port"]);
        hold!(found, port.is_some_and(|port| port["targetPort"] == "operations"), "it asks {}", endpoint["port"]);
        hold!(found, service["spec"]["clusterIP"] == "None", "it finds one replica of many");
        hold!(found, service["spec"]["publishNotReadyAddresses"] == true, "it loses sight of what drains");
        hold!(found, endpoint["path"] == "/metrics", "it asks for {}", endpoint["path"]);
        let job = list(&endpoint["relabelings"]).find(|one| one["targetLabel"] == "job");
        hold!(found, job.is_some_and(|job| text(&job["replacement"]).contains("patchbay")), "a job without a name");
        let labels = chart.given["metrics"]["serviceMonitor"]["labels"].as_object();
        let lost = labels.into_iter().flatten().find(|(name, value)| monitor["metadata"]["labels"][name] != **value);
        hold!(found, lost.is_none(), "{lost:?} was lost");
    }
    found
}

fn alerts(chart: &Chart) -> Vec<String> {
    let mut found = Vec::new();
    let wanted = chart.given["metrics"]["prometheusRule"]["enabled"] != false;
    hold!(found, chart.of("PrometheusRule").count() == usize::from(wanted), "alerts or none");
    let file = one(&fs::read_to_string(folder().join("rules/patchbay.yaml")).unwrap());
    for rule in chart.of("PrometheusRule") {
        hold!(found, list(&file["groups"]).count() >= 5, "the file has lost its groups");
        hold!(found, rule["spec"] == file, "they are others");
    }
    found
}

fn dashboards(chart: &Chart) -> Vec<String> {
    let mut found = Vec::new();
    let maps = chart.of("ConfigMap").filter(|map| map["metadata"]["labels"]["grafana_dashboard"] == "1");
    let maps: Vec<_> = maps.collect();
    let known = chart.of("ConfigMap").count();
    let wanted = if chart.given["metrics"]["dashboards"]["enabled"] == false { 0 } else { 4 };
    let others = known - maps.len();
    hold!(found, maps.len() == wanted && others <= 2, "{} dashboards and {others} other maps", maps.len());
    for map in maps {
        for (name, text) in map["data"].as_object().unwrap() {
            let file = name.rsplit_once("patchbay-").map_or(name.as_str(), |(_, file)| file);
            let kept = fs::read_to_string(folder().join("dashboards").join(file)).unwrap();
            let (shown, kept): (serde_json::Value, serde_json::Value) =
                (serde_json::from_str(text.as_str().unwrap()).unwrap(), serde_json::from_str(&kept).unwrap());
            hold!(found, shown == kept, "{name} is another");
        }
    }
    found
}
