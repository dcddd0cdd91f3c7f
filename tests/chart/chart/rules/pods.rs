//! Rules about the pods themselves: probes, the end, what a process may do, what it may fill.

use serde_json::{Value, json};

use super::{Rule, hold};
use crate::chart::rendered::{Chart, list, text};

pub(super) const RULES: &[Rule] = &[
    Rule {
        says: "Probes are on the operations port, and a minute is enough to start.",
        finds: probes,
        broken: ("default", "Deployment", "/spec/template/spec/containers/0/livenessProbe/httpGet/port", "\"mcp\""),
    },
    Rule {
        says: "Liveness asks nothing but whether the process is there; readiness asks whether it serves.",
        finds: paths,
        broken: ("default", "Deployment", "/spec/template/spec/containers/0/livenessProbe/httpGet/path", "\"/readyz\""),
    },
    Rule {
        says: "There is time for the delay, the drain and what comes after it.",
        finds: time_to_stop,
        broken: ("tuned", "Deployment", "/spec/template/spec/terminationGracePeriodSeconds", "619"),
    },
    Rule {
        says: "No hook needs a shell.",
        finds: no_shell,
        broken: (
            "default",
            "Deployment",
            "/spec/template/spec/containers/0/lifecycle",
            r#"{"preStop":{"exec":{"command":["sleep","5"]}}}"#,
        ),
    },
    Rule {
        says: "Nobody is root, in any pod.",
        finds: not_root,
        broken: ("default", "Job", "/spec/template/spec/securityContext/runAsUser", "0"),
    },
    Rule {
        says: "No container can gain rights or write its own image.",
        finds: bounded_containers,
        broken: ("ha", "Pod", "/spec/containers/0/securityContext/readOnlyRootFilesystem", "false"),
    },
    Rule {
        says: "No pod has the cluster's token, its addresses, or anything of its node.",
        finds: nothing_of_the_cluster,
        broken: ("stateful", "StatefulSet", "/spec/template/spec/automountServiceAccountToken", "true"),
    },
    Rule {
        says: "What can be written has a bound.",
        finds: bounded_folders,
        broken: ("default", "Deployment", "/spec/template/spec/volumes/2/emptyDir", "{}"),
    },
    Rule {
        says: "The data folder has more room than the audit's spool.",
        finds: room_for_the_spool,
        broken: ("tuned", "Deployment", "/spec/template/spec/volumes/5/emptyDir/sizeLimit", "\"1Gi\""),
    },
    Rule {
        says: "Every container says what it needs, and has a bound of memory.",
        finds: resources,
        broken: ("default", "Job", "/spec/template/spec/containers/0/resources/limits", "{}"),
    },
    Rule {
        says: "Images are of a version or a digest, and the same everywhere.",
        finds: images,
        broken: ("default", "Pod", "/spec/containers/0/image", "\"patchbay:latest\""),
    },
    Rule {
        says: "What was said of places and priority is in the pod.",
        finds: placement,
        broken: ("ha", "Deployment", "/spec/template/spec/priorityClassName", "null"),
    },
];

fn probes(chart: &Chart) -> Vec<String> {
    let (mut found, container) = (Vec::new(), chart.container());
    for name in ["startupProbe", "livenessProbe", "readinessProbe"] {
        let port = &container[name]["httpGet"]["port"];
        hold!(found, port == "operations", "{name} is on {port}");
    }
    let startup = &container["startupProbe"];
    let seconds = startup["periodSeconds"].as_u64().unwrap_or(10) * startup["failureThreshold"].as_u64().unwrap_or(3);
    hold!(found, (30..=60).contains(&seconds), "{seconds} s to start");
    let named: Vec<_> = list(&container["ports"]).map(|port| text(&port["name"])).collect();
    hold!(found, named.starts_with(&["mcp", "operations"]), "ports are called {named:?}");
    let numbers = list(&container["ports"]).map(|port| &port["containerPort"]).collect::<Vec<_>>();
    hold!(found, numbers[0] != numbers[1], "one port for both: {numbers:?}");
    found
}

fn paths(chart: &Chart) -> Vec<String> {
    let mut found = Vec::new();
    for (name, path) in [("startupProbe", "/livez"), ("livenessProbe", "/livez"), ("readinessProbe", "/readyz")] {
        let asked = &chart.container()[name]["httpGet"]["path"];
        hold!(found, asked == path, "{name} asks {asked}");
    }
    found
}

fn time_to_stop(chart: &Chart) -> Vec<String> {
    let (mut found, config) = (Vec::new(), chart.config());
    let [delay, drain] = ["drain_delay_s", "drain_s"].map(|name| config["limits"][name].as_u64().unwrap_or(9999));
    let given = chart.gateway().spec["terminationGracePeriodSeconds"].as_u64().unwrap_or(0);
    hold!(found, given >= delay + drain + 20, "{given} s for {delay} and {drain}");
    found
}

fn no_shell(chart: &Chart) -> Vec<String> {
    let mut found = Vec::new();
    for pod in chart.pods() {
        for container in pod.containers() {
            hold!(found, container["lifecycle"].is_null(), "{} has a hook", pod.name);
            hold!(found, container["command"] == json!(["/usr/local/bin/patchbay"]), "{}: another program", pod.name);
            let execs = ["startupProbe", "livenessProbe", "readinessProbe"].map(|probe| &container[probe]["exec"]);
            hold!(found, execs.iter().all(|exec| exec.is_null()), "{} has a probe that runs something", pod.name);
        }
    }
    found
}

fn not_root(chart: &Chart) -> Vec<String> {
    let mut found = Vec::new();
    for pod in chart.pods() {
        let contexts = pod.containers().into_iter().map(|container| &container["securityContext"]);
        for context in contexts.chain([&pod.spec["securityContext"]]) {
            hold!(found, context["runAsNonRoot"] == true, "{}: {context}", pod.name);
            hold!(found, context["runAsUser"].as_u64() >= Some(10_001), "{}: {context}", pod.name);
            hold!(found, context["runAsGroup"].as_u64() >= Some(10_001), "{}: {context}", pod.name);
            hold!(found, context["seccompProfile"] == json!({"type": "RuntimeDefault"}), "{}: {context}", pod.name);
        }
        hold!(found, pod.spec["securityContext"]["fsGroup"] == 10_001, "{} cannot read its secrets", pod.name);
    }
    found
}

fn bounded_containers(chart: &Chart) -> Vec<String> {
    let mut found = Vec::new();
    for pod in chart.pods() {
        for container in pod.containers() {
            let context = &container["securityContext"];
            hold!(found, context["readOnlyRootFilesystem"] == true, "{}: {context}", pod.name);
            hold!(found, context["allowPrivilegeEscalation"] == false, "{}: {context}", pod.name);
            hold!(found, context["privileged"] == false, "{}: {context}", pod.name);
            hold!(found, context["capabilities"] == json!({"drop": ["ALL"]}), "{}: {context}", pod.name);
        }
    }
    found
}

fn nothing_of_the_cluster(chart: &Chart) -> Vec<String> {
    let mut found = Vec::new();
    for pod in chart.pods() {
        hold!(found, pod.spec["automountServiceAccountToken"] == false, "{} has a token", pod.name);
        hold!(found, pod.spec["enableServiceLinks"] == false, "{} has variables of services", pod.name);
        for name in ["hostNetwork", "hostPID", "hostIPC", "shareProcessNamespace"] {
            hold!(found, pod.spec[name].is_null(), "{} has {name}", pod.name);
        }
        let volumes = list(&pod.spec["volumes"]).find(|volume| !volume["hostPath"].is_null());
        hold!(found, volumes.is_none(), "{} has a folder of its node", pod.name);
    }
    for account in chart.of("ServiceAccount") {
        hold!(found, account["automountServiceAccountToken"] == false, "the account mounts a token");
    }
    hold!(found, chart.objects.iter().all(|object| !text(&object["kind"]).contains("Role")), "there is a role");
    found
}

fn bounded_folders(chart: &Chart) -> Vec<String> {
    let mut found = Vec::new();
    for pod in chart.pods() {
        for volume in list(&pod.spec["volumes"]).filter(|volume| volume["emptyDir"].is_object()) {
            hold!(found, mebibytes(&volume["emptyDir"]["sizeLimit"]) > Some(0), "{}: {volume}", pod.name);
        }
    }
    let mounts: Vec<_> = list(&chart.container()["volumeMounts"]).collect();
    for folder in ["/tmp", "/var/lib/patchbay"] {
        let mount = mounts.iter().find(|mount| mount["mountPath"] == folder);
        hold!(found, mount.is_some_and(|mount| mount["readOnly"] != true), "{folder} cannot be written");
    }
    found
}

/// A quantity in MiB.
fn mebibytes(quantity: &Value) -> Option<u64> {
    let quantity = quantity.as_str()?;
    let (number, factor) = quantity.strip_suffix("Gi").map_or((quantity.strip_suffix("Mi"), 1), |n| (Some(n), 1024));
    Some(number?.parse::<u64>().ok()? * factor)
}

fn room_for_the_spool(chart: &Chart) -> Vec<String> {
    let (mut found, config) = (Vec::new(), chart.config());
    let spool = config["audit"]["spool_mib"].as_u64().unwrap_or(64);
    let volumes = &chart.gateway().spec["volumes"];
    let folder = list(volumes).find(|volume| volume["name"] == "data").map(|volume| &volume["emptyDir"]["sizeLimit"]);
    let claims = list(&chart.workload()["spec"]["volumeClaimTemplates"]).chain(chart.of("PersistentVolumeClaim"));
    let sizes = claims.map(|claim| &claim["spec"]["resources"]["requests"]["storage"]).chain(folder);
    let most = sizes.filter_map(mebibytes).max().unwrap_or(0);
    hold!(found, most >= spool + 256, "{most} MiB for a spool of {spool} MiB");
    found
}

fn resources(chart: &Chart) -> Vec<String> {
    let mut found = Vec::new();
    for pod in chart.pods() {
        for container in pod.containers() {
            let resources = &container["resources"];
            for wanted in ["/requests/cpu", "/requests/memory", "/requests/ephemeral-storage", "/limits/memory"] {
                hold!(found, resources.pointer(wanted).is_some(), "{} lacks {wanted}", pod.name);
            }
        }
    }
    found
}

fn images(chart: &Chart) -> Vec<String> {
    let mut found = Vec::new();
    let pods = chart.pods();
    let all: Vec<_> = pods.iter().flat_map(|pod| pod.containers()).map(|one| text(&one["image"])).collect();
    let digest = text(&chart.given["image"]["digest"]);
    let ending = if digest.is_empty() { format!(":{}", env!("CARGO_PKG_VERSION")) } else { format!("@{digest}") };
    for image in &all {
        hold!(found, image.ends_with(&ending) && !image.contains("latest"), "{image}");
        hold!(found, *image == all[0], "{image} and {}", all[0]);
    }
    found
}

fn placement(chart: &Chart) -> Vec<String> {
    let mut found = Vec::new();
    for (name, value) in [
        ("priorityClassName", &chart.given["priorityClassName"]),
        ("nodeSelector", &chart.given["nodeSelector"]),
        ("tolerations", &chart.given["tolerations"]),
    ] {
        for pod in chart.pods() {
            hold!(found, pod.spec[name] == *value, "{}: {name} is {}", pod.name, pod.spec[name]);
        }
    }
    found
}
