//! Rules about how many there are: replicas and where they stand, disruptions, scaling, and who may share a volume.

use serde_json::json;

use super::{Rule, hold};
use crate::chart::rendered::{Chart, list, selects, text};

pub(super) const RULES: &[Rule] = &[
    Rule {
        says: "Whoever takes nodes away leaves somebody who serves, and can take each.",
        finds: disruptions,
        broken: ("ha", "PodDisruptionBudget", "/spec/minAvailable", "3"),
    },
    Rule {
        says: "Scaling goes up at once and down slowly, and nobody else sets the number.",
        finds: scaling,
        broken: ("ha", "HorizontalPodAutoscaler", "/spec/behavior/scaleDown/stabilizationWindowSeconds", "0"),
    },
    Rule {
        says: "Replicas keep away from each other.",
        finds: apart,
        broken: (
            "default",
            "Deployment",
            "/spec/template/spec/topologySpreadConstraints/0/labelSelector/matchLabels",
            r#"{"app":"other"}"#,
        ),
    },
    Rule {
        says: "An update never leaves fewer gateways than there were, where there is a place for one more.",
        finds: updates,
        broken: ("default", "Deployment", "/spec/strategy/rollingUpdate/maxUnavailable", "1"),
    },
    Rule {
        says: "No two gateways share a volume.",
        finds: volumes,
        broken: (
            "default",
            "Deployment",
            "/spec/template/spec/volumes/3",
            r#"{"name":"data","persistentVolumeClaim":{"claimName":"shared"}}"#,
        ),
    },
    Rule {
        says: "An embedded gateway is alone, on a volume that stays.",
        finds: embedded,
        broken: ("embedded", "Deployment", "/spec/strategy/type", "\"RollingUpdate\""),
    },
];

fn disruptions(chart: &Chart) -> Vec<String> {
    let (mut found, replicas) = (Vec::new(), chart.replicas_min());
    let budgets: Vec<_> = chart.of("PodDisruptionBudget").collect();
    let wanted = replicas > 1 && chart.given["podDisruptionBudget"]["enabled"] != false;
    hold!(found, budgets.len() == usize::from(wanted), "{} budgets for {replicas} replicas", budgets.len());
    for budget in budgets {
        let spec = &budget["spec"];
        let bounds: Vec<_> = ["minAvailable", "maxUnavailable"].iter().filter_map(|name| spec[name].as_u64()).collect();
        hold!(found, bounds.len() == 1 && bounds[0] >= 1 && bounds[0] < replicas, "{spec} for {replicas} replicas");
        hold!(found, selects(&spec["selector"]["matchLabels"], &chart.gateway().metadata["labels"]), "it is of others");
        hold!(found, spec["unhealthyPodEvictionPolicy"] == "AlwaysAllow", "a broken pod holds its node");
    }
    found
}

fn scaling(chart: &Chart) -> Vec<String> {
    let (mut found, workload) = (Vec::new(), chart.workload());
    let wanted = chart.given["autoscaling"]["enabled"] == true;
    hold!(found, chart.of("HorizontalPodAutoscaler").count() == usize::from(wanted), "scaled or not");
    hold!(found, workload["spec"]["replicas"].is_null() == wanted, "two say how many");
    for scaler in chart.of("HorizontalPodAutoscaler") {
        let spec = &scaler["spec"];
        let target = json!({"apiVersion": "apps/v1", "kind": workload["kind"], "name": workload["metadata"]["name"]});
        hold!(found, spec["scaleTargetRef"] == target, "it scales {}", spec["scaleTargetRef"]);
        hold!(found, spec["behavior"]["scaleDown"]["stabilizationWindowSeconds"] == 300, "down at once");
        hold!(found, spec["minReplicas"].as_u64() >= Some(2), "down to one");
        let metrics: Vec<_> = list(&spec["metrics"]).map(|metric| text(&metric["type"])).collect();
        let in_flight = chart.given["autoscaling"]["inFlight"].as_u64().unwrap_or(0);
        let wanted = if in_flight > 0 { vec!["Resource", "Pods"] } else { vec!["Resource"] };
        hold!(found, metrics == wanted, "{metrics:?}");
        hold!(found, chart.container()["resources"]["requests"]["cpu"].is_string(), "percent of nothing");
        if in_flight > 0 {
            let name = text(&spec["metrics"][1]["pods"]["metric"]["name"]);
            hold!(found, name == "patchbay_in_flight", "no such gauge: {name}");
        }
    }
    found
}

fn apart(chart: &Chart) -> Vec<String> {
    let (mut found, pod) = (Vec::new(), chart.gateway());
    if chart.is_embedded() || chart.set == "quiet" {
        hold!(found, pod.spec["affinity"].is_null(), "{}", pod.spec["affinity"]);
        return found;
    }
    let affinity = &pod.spec["affinity"]["podAntiAffinity"];
    let required = list(&affinity["requiredDuringSchedulingIgnoredDuringExecution"]);
    let preferred =
        list(&affinity["preferredDuringSchedulingIgnoredDuringExecution"]).map(|one| &one["podAffinityTerm"]);
    let spread = list(&pod.spec["topologySpreadConstraints"]);
    let (terms, spread): (Vec<_>, Vec<_>) = (required.chain(preferred).collect(), spread.collect());
    hold!(found, terms.len() == 1 && !spread.is_empty(), "{} terms, {} constraints", terms.len(), spread.len());
    for one in terms.iter().chain(&spread) {
        let ours = selects(&one["labelSelector"]["matchLabels"], &pod.metadata["labels"]);
        hold!(found, ours, "it looks at others: {one}");
    }
    hold!(found, terms.iter().all(|one| one["topologyKey"] == "kubernetes.io/hostname"), "{terms:?}");
    found
}

fn updates(chart: &Chart) -> Vec<String> {
    let (mut found, spec) = (Vec::new(), &chart.workload()["spec"]);
    let rolling = &spec["strategy"]["rollingUpdate"];
    if chart.given["antiAffinity"] == "required" {
        hold!(found, *rolling == json!({"maxSurge": 0, "maxUnavailable": 1}), "one more may find no node: {rolling}");
    } else if chart.workload()["kind"] == "Deployment" && !chart.is_embedded() {
        hold!(found, *rolling == json!({"maxSurge": 1, "maxUnavailable": 0}), "{rolling}");
    }
    hold!(found, spec["minReadySeconds"].as_u64() >= Some(1), "a pod counts as soon as it is ready once");
    found
}

fn volumes(chart: &Chart) -> Vec<String> {
    let (mut found, workload) = (Vec::new(), chart.workload());
    let claimed = list(&chart.gateway().spec["volumes"])
        .filter(|volume| volume["name"] == "data" && volume["persistentVolumeClaim"].is_object())
        .count();
    hold!(found, claimed == usize::from(chart.is_embedded()), "{claimed} claims that a pod names");
    let stateful = workload["kind"] == "StatefulSet";
    hold!(found, stateful == (chart.given["persistence"]["enabled"] == true), "{}", workload["kind"]);
    if stateful {
        let claims: Vec<_> = list(&workload["spec"]["volumeClaimTemplates"]).collect();
        hold!(found, claims.len() == 1 && claims[0]["metadata"]["name"] == "data", "{claims:?}");
        let kept = json!({"whenDeleted": "Retain", "whenScaled": "Retain"});
        hold!(found, workload["spec"]["persistentVolumeClaimRetentionPolicy"] == kept, "volumes go with their pods");
        let service = chart.named("Service", text(&workload["spec"]["serviceName"]));
        hold!(found, service.is_some_and(|one| one["spec"]["clusterIP"] == "None"), "its service is not headless");
    }
    found
}

fn embedded(chart: &Chart) -> Vec<String> {
    let mut found = Vec::new();
    if !chart.is_embedded() {
        return found;
    }
    let spec = &chart.workload()["spec"];
    hold!(found, spec["replicas"] == 1, "{} replicas", spec["replicas"]);
    hold!(found, spec["strategy"] == json!({"type": "Recreate"}), "{}", spec["strategy"]);
    for kind in ["HorizontalPodAutoscaler", "PodDisruptionBudget", "Job", "Secret", "StatefulSet"] {
        hold!(found, chart.of(kind).next().is_none(), "it has a {kind}");
    }
    let claim = chart.named("PersistentVolumeClaim", chart.name());
    let kept = claim.is_some_and(|claim| claim["metadata"]["annotations"]["helm.sh/resource-policy"] == "keep");
    hold!(found, kept, "its data go with the release");
    let config = chart.config();
    hold!(found, config["store"].is_null() && config["sealing_key"].is_null(), "it has a store elsewhere");
    found
}
