//! Rules about what helm runs besides: the migration before an update, and the test after it.

use serde_json::Value;

use super::{Rule, hold};
use crate::chart::rendered::{Chart, list, text, title};

pub(super) const RULES: &[Rule] = &[
    Rule {
        says: "A migration runs before gateways do, is bounded, and ends by itself.",
        finds: migration,
        broken: ("default", "Job", "/spec/activeDeadlineSeconds", "null"),
    },
    Rule {
        says: "A hook needs nothing that is not there yet.",
        finds: before_the_rest,
        broken: ("own-secret", "Job", "/spec/template/spec/serviceAccountName", "\"patchbay\""),
    },
    Rule {
        says: "`helm test` asks the operations port of a service that is there.",
        finds: health,
        broken: ("default", "Pod", "/spec/containers/0/args/2", "\"patchbay.tools.svc:80\""),
    },
];

fn annotation<'a>(object: &'a Value, name: &str) -> &'a str {
    text(&object["metadata"]["annotations"][format!("helm.sh/{name}")])
}

fn weight(object: &Value) -> i64 {
    annotation(object, "hook-weight").parse().unwrap_or(0)
}

fn migration(chart: &Chart) -> Vec<String> {
    let mut found = Vec::new();
    let wanted = !chart.is_embedded() && chart.given["migration"]["enabled"] != false;
    hold!(found, chart.of("Job").count() == usize::from(wanted), "a migration or none");
    for job in chart.of("Job") {
        let spec = &job["spec"];
        hold!(found, annotation(job, "hook") == "pre-install,pre-upgrade", "it runs {}", annotation(job, "hook"));
        let kept = annotation(job, "hook-delete-policy");
        hold!(found, kept == "before-hook-creation,hook-succeeded", "its log is lost, or it is in the way: {kept}");
        hold!(found, spec["activeDeadlineSeconds"].as_u64() > Some(0), "it has no end");
        hold!(found, spec["backoffLimit"].as_u64().is_some(), "it is tried again without end");
        hold!(found, spec["template"]["spec"]["restartPolicy"] == "Never", "its failures leave no log");
        let args = &spec["template"]["spec"]["containers"][0]["args"];
        hold!(found, args[0] == "migrate" && args[2] == "/etc/patchbay/config/patchbay.yaml", "it does {args}");
    }
    found
}

fn before_the_rest(chart: &Chart) -> Vec<String> {
    let mut found = Vec::new();
    for job in chart.of("Job") {
        let (pod, first) = (&job["spec"]["template"]["spec"], weight(job));
        let ours = chart.named("ServiceAccount", text(&pod["serviceAccountName"]));
        hold!(found, ours.is_none(), "its account is made later");
        let is_ready = |kind: &str, name: &str| {
            let made = chart.named(kind, name);
            made.is_none_or(|made| annotation(made, "hook") == annotation(job, "hook") && weight(made) < first)
        };
        for volume in list(&pod["volumes"]) {
            let (map, secret) = (text(&volume["configMap"]["name"]), text(&volume["secret"]["secretName"]));
            hold!(found, is_ready("ConfigMap", map), "{map} is made later");
            hold!(found, is_ready("Secret", secret), "{secret} is made later");
            hold!(found, volume["persistentVolumeClaim"].is_null(), "a volume is mounted twice: {volume}");
        }
        let own = text(&job["metadata"]["name"]);
        let (ours, theirs) = (chart.named("ConfigMap", own), chart.named("ConfigMap", chart.name()));
        hold!(found, ours.is_some_and(|ours| Some(&ours["data"]) == theirs.map(|one| &one["data"])), "another config");
        if chart.given["networkPolicy"]["enabled"] != false {
            let policy = chart.named("NetworkPolicy", own);
            hold!(found, policy.is_some_and(|policy| weight(policy) < first), "it cannot reach Postgres");
        }
    }
    found
}

fn health(chart: &Chart) -> Vec<String> {
    let mut found = Vec::new();
    let tests: Vec<_> = chart.of("Pod").filter(|pod| annotation(pod, "hook") == "test").collect();
    hold!(found, tests.len() == 1, "{} tests", tests.len());
    for pod in tests {
        let args: Vec<_> = list(&pod["spec"]["containers"][0]["args"]).map(text).collect();
        hold!(found, args.starts_with(&["health", "--address"]) && args.len() == 3, "it runs {args:?}");
        let (host, port) = args[2].split_once(':').unwrap_or_default();
        let service = chart.named("Service", host.split('.').next().unwrap_or_default());
        let ports = service.into_iter().flat_map(|one| list(&one["spec"]["ports"]));
        let target = ports.filter(|one| one["port"].as_u64() == port.parse().ok()).map(|one| text(&one["targetPort"]));
        hold!(found, target.collect::<Vec<_>>() == ["operations"], "{} asks {}", title(pod), args[2]);
        hold!(found, host.ends_with(".tools.svc"), "another namespace: {host}");
        hold!(found, pod["spec"]["restartPolicy"] == "Never", "it never ends");
    }
    found
}
