//! Rules about what nobody may see: where secrets stand, and where they never do.

use base64::{Engine, engine::general_purpose::STANDARD};
use serde_json::Value;

use super::{Rule, hold};
use crate::chart::rendered::{Chart, list, text, texts, title};

pub(super) const RULES: &[Rule] = &[
    Rule {
        says: "Secrets stand in Secrets, and nowhere else in any spelling.",
        finds: nowhere_else,
        broken: (
            "own-secret",
            "ConfigMap",
            "/data/patchbay.yaml",
            r#""store: {url: 'postgres://patchbay:canary-of-the-database@db/patchbay'}""#,
        ),
    },
    Rule {
        says: "No variable and no argument has a secret.",
        finds: no_variables,
        broken: (
            "default",
            "Deployment",
            "/spec/template/spec/containers/0/env",
            r#"[{"name":"X","valueFrom":{"secretKeyRef":{"name":"patchbay","key":"database-url"}}}]"#,
        ),
    },
    Rule {
        says: "The configuration refers to files for the database, Redis and the sealing keys.",
        finds: references,
        broken: ("default", "ConfigMap", "/data/patchbay.yaml", r#""store: {url: 'postgres://u:p@h/d'}""#),
    },
    Rule {
        says: "Secrets are mounted read-only, for the gateway's group, and only what is needed of them.",
        finds: mounted,
        broken: ("default", "Deployment", "/spec/template/spec/volumes/1/secret/defaultMode", "420"),
    },
    Rule {
        says: "The operator's Secret is used as it is; only without one there is one of the chart, which stays.",
        finds: whose,
        broken: ("own-secret", "Secret", "/metadata/annotations", "null"),
    },
    Rule {
        says: "A pod is replaced when its configuration or its secrets change.",
        finds: marked,
        broken: ("ha", "Deployment", "/spec/template/metadata/annotations/checksum~1config", "null"),
    },
];

/// What stands in the values of the tests as a secret.
const CANARY: &str = "canary-of-";

fn nowhere_else(chart: &Chart) -> Vec<String> {
    let mut found = Vec::new();
    for object in &chart.objects {
        let is_secret = object["kind"] == "Secret";
        for text in texts(object) {
            let opened = STANDARD.decode(text.trim()).map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
            hold!(found, !text.contains(CANARY), "{} has {text}", title(object));
            hold!(found, is_secret || !opened.is_ok_and(|text| text.contains(CANARY)), "{} has {text}", title(object));
        }
        if is_secret {
            hold!(found, object["stringData"].is_null(), "{} has plain text", title(object));
        }
    }
    found
}

fn no_variables(chart: &Chart) -> Vec<String> {
    let mut found = Vec::new();
    for pod in chart.pods() {
        for container in pod.containers() {
            hold!(found, container["envFrom"].is_null(), "{} takes variables from elsewhere", pod.name);
            // What the pod itself is, is no secret.
            let about = |variable: &&Value| !variable["valueFrom"]["fieldRef"].is_null();
            let of_others = |variable: &&Value| !variable["valueFrom"].is_null() && !about(variable);
            let taken = list(&container["env"]).find(of_others);
            hold!(found, taken.is_none(), "{} has {}", pod.name, taken.unwrap_or(&Value::Null));
            let args: Vec<_> = list(&container["args"]).map(text).collect();
            hold!(found, !args.iter().any(|arg| arg.contains("://")), "{}: {args:?}", pod.name);
        }
    }
    found
}

fn references(chart: &Chart) -> Vec<String> {
    let (mut found, config) = (Vec::new(), chart.config());
    if chart.is_embedded() {
        return found;
    }
    let file = |name: &str| format!("${{file:/etc/patchbay/secrets/{name}}}");
    hold!(found, config["store"]["url"] == file("database-url"), "store.url is {}", config["store"]["url"]);
    if chart.given["redis"]["enabled"] == false {
        hold!(found, config["redis"]["url"].is_null(), "there is a Redis");
    } else {
        hold!(found, config["redis"]["url"] == file("redis-url"), "redis.url is {}", config["redis"]["url"]);
    }
    let key = &config["sealing_key"];
    hold!(found, *key == "file:/etc/patchbay/secrets/sealing-key", "sealing_key is {key}");
    let old = list(&chart.given["secrets"]["keys"]["sealingKeysOld"]).count();
    let kept: Vec<_> = list(&config["sealing_keys_old"]).map(text).collect();
    hold!(found, kept.len() == old, "{old} old keys, and {kept:?}");
    let is_place = |(at, one): (usize, &&str)| *one == format!("file:/etc/patchbay/secrets/sealing-key-old-{at}");
    hold!(found, kept.iter().enumerate().all(is_place), "{kept:?}");
    found
}

fn mounted(chart: &Chart) -> Vec<String> {
    let mut found = Vec::new();
    for pod in chart.pods() {
        for volume in list(&pod.spec["volumes"]).filter(|volume| volume["secret"].is_object()) {
            let secret = &volume["secret"];
            hold!(found, secret["defaultMode"] == 0o440, "{}: {volume}", pod.name);
            hold!(found, volume["name"] != "secrets" || list(&secret["items"]).count() >= 2, "{}: {volume}", pod.name);
            for container in pod.containers() {
                let mount = list(&container["volumeMounts"]).find(|mount| mount["name"] == volume["name"]);
                hold!(found, mount.is_some_and(|mount| mount["readOnly"] == true), "{}: {volume}", pod.name);
            }
        }
    }
    found
}

fn whose(chart: &Chart) -> Vec<String> {
    let mut found = Vec::new();
    let given = text(&chart.given["secrets"]["existingSecret"]);
    let secrets: Vec<_> = chart.of("Secret").collect();
    if chart.is_embedded() {
        return found;
    }
    if !given.is_empty() {
        hold!(found, secrets.is_empty(), "it makes {} besides `{given}`", secrets.len());
        let volumes = list(&chart.gateway().spec["volumes"]).map(|volume| text(&volume["secret"]["secretName"]));
        hold!(found, volumes.collect::<Vec<_>>().contains(&given), "`{given}` is not mounted");
        return found;
    }
    let (own, hook) = (chart.named("Secret", chart.name()), chart.named("Secret", "patchbay-migrate"));
    let (Some(own), Some(hook)) = (own, hook) else { return vec![format!("{} secrets", secrets.len())] };
    let kept = &own["metadata"]["annotations"]["helm.sh/resource-policy"];
    hold!(found, kept == "keep", "the sealing key goes with the release");
    hold!(found, own["data"] == hook["data"], "the migration has other keys than the gateway");
    let key = STANDARD.decode(text(&own["data"]["sealing-key"])).unwrap_or_default();
    hold!(found, key.len() >= 64, "a sealing key of {} bytes", key.len());
    found
}

fn marked(chart: &Chart) -> Vec<String> {
    let (mut found, pod) = (Vec::new(), chart.gateway());
    let annotations = &pod.metadata["annotations"];
    hold!(found, text(&annotations["checksum/config"]).len() == 64, "no mark of the configuration");
    hold!(found, chart.is_embedded() || annotations["checksum/secrets"].is_string(), "no mark of the secrets");
    found
}
