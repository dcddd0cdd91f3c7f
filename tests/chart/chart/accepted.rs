//! What helm and Kubernetes say of the chart: lint, the schemas of each version, and what depends on a cluster's version and kinds.

use std::{fs, process::Command};

use patchbay_e2e::{
    installed::{source, variable},
    process::{command, run},
};
use tempfile::TempDir;

use crate::chart::{
    helm::{Helm, OPERATORS, VERSIONS, folder, names, path, values},
    rendered::{Chart, chart, render},
};

#[test]
fn lint_has_nothing_to_say_of_any_set_of_values() {
    let Some(helm) = Helm::find() else { return };
    for set in names("ci") {
        let said = helm.run(&["lint", "--strict", path(&folder()), "--values", path(&values(&set))]);
        assert!(said.code == 0 && !said.out.contains("[WARNING]"), "{set}: {said:?}");
    }
}

/// Python with the schemas of Kubernetes.
fn checker() -> Option<Command> {
    let python = variable("PATCHBAY_TEST_PY_CHART")?;
    Some(command(&python, [source("python").join("chart.py")]))
}

#[test]
fn every_version_of_kubernetes_takes_every_object() {
    let (Some(helm), Some(mut checker)) = (Helm::find(), checker()) else { return };
    let folder = TempDir::with_prefix("patchbay-chart-").unwrap();
    let all: Vec<_> = names("ci").into_iter().flat_map(|set| VERSIONS.map(|version| (set.clone(), version))).collect();
    let render = |(set, version): &(String, &str)| {
        let rendered = helm.template(&values(set), &format!("{version}.0"), &OPERATORS, &[]).good();
        let file = folder.path().join(format!("{set}-{version}.yaml"));
        fs::write(&file, rendered).unwrap();
        format!("{version}={}", file.display())
    };
    let (one, other) = all.split_at(all.len() / 2);
    let files = std::thread::scope(|scope| {
        let beside = scope.spawn(|| other.iter().map(render).collect::<Vec<_>>());
        let mut files: Vec<_> = one.iter().map(render).collect();
        files.extend(beside.join().unwrap());
        files
    });
    assert!(files.len() >= 72, "only {} files", files.len());
    let said = run(checker.args(files));
    assert_eq!((said.code, said.out.trim()), (0, ""), "{}", said.err);
    let unseen: Vec<_> = said.err.lines().filter(|line| line.starts_with("not looked at")).collect();
    let foreign = ["ServiceMonitor", "PrometheusRule", "HTTPRoute"];
    assert!(unseen.iter().all(|line| foreign.iter().any(|kind| line.contains(kind))), "{unseen:?}");
}

#[test]
fn a_misspelt_field_and_a_wrong_type_are_noticed() {
    let (Some(chart), Some(mut checker)) = (chart("default"), checker()) else { return };
    let folder = TempDir::with_prefix("patchbay-chart-").unwrap();
    let wrong = [
        ("maxUnavailable: 1", "maxUnavailabel: 1", "maxUnavailabel"),
        ("automountServiceAccountToken: false", "automountServiceAccountToken: \"no\"", "is not of type"),
        ("policyTypes: [Ingress, Egress]", "policyType: [Ingress, Egress]", "policyType"),
    ];
    let file = |at: usize| folder.path().join(format!("{at}.yaml"));
    for (at, (right, wrong, _)) in wrong.iter().enumerate() {
        assert!(chart.text.contains(right), "{right}");
        fs::write(file(at), chart.text.replacen(right, wrong, 1)).unwrap();
    }
    let said = run(checker.args((0..wrong.len()).map(|at| format!("1.31={}", file(at).display()))));
    assert_eq!(said.code, 1, "{said:?}");
    for (at, (_, _, name)) in wrong.iter().enumerate() {
        let file = file(at).display().to_string();
        assert!(said.out.lines().any(|line| line.starts_with(&file) && line.contains(name)), "{name}: {}", said.out);
    }
}

#[test]
fn kinds_that_a_cluster_lacks_are_left_out() {
    let Some(helm) = Helm::find() else { return };
    for set in ["ha", "gateway-api"] {
        let plain = render(&helm, set, &[], &[]);
        let foreign =
            |chart: &Chart| ["ServiceMonitor", "PrometheusRule", "HTTPRoute"].map(|kind| chart.of(kind).count());
        assert_eq!(foreign(&plain), [0, 0, 0], "{set}");
        let known = [vec![OPERATORS[0]], OPERATORS.to_vec()];
        let [prometheus, all] = known.map(|operators| foreign(&render(&helm, set, &operators, &[])));
        assert_eq!(prometheus, [1, 1, 0], "{set}");
        assert_eq!(all, [1, 1, usize::from(set == "gateway-api")], "{set}");
    }
}

#[test]
fn an_old_cluster_is_refused_in_a_sentence() {
    let Some(helm) = Helm::find() else { return };
    let said = helm.template(&values("default"), "1.28.9", &[], &[]);
    assert!(said.code != 0 && said.err.contains("requires kubeVersion: >=1.29.0"), "{said:?}");
}

#[test]
fn a_change_of_the_configuration_replaces_the_pods_and_nothing_else_does() {
    let Some(helm) = Helm::find() else { return };
    let marks = |more: &[&str]| {
        let chart = render(&helm, "default", &[], more);
        chart.gateway().metadata["annotations"].clone()
    };
    let plain = marks(&[]);
    assert_eq!(plain, marks(&["--set", "replicas=5,service.port=8000"]), "a change elsewhere");
    for change in ["config.limits.headers=true", "config.limits.drain_s=60", "admin.listen=off", "ports.mcp=8081"] {
        let changed = marks(&["--set", change]);
        assert_ne!(plain["checksum/config"], changed["checksum/config"], "{change}");
        assert_eq!(plain["checksum/secrets"], changed["checksum/secrets"], "{change}");
    }
}

#[test]
fn zero_and_false_are_said_and_not_taken_for_nothing() {
    let Some(helm) = Helm::find() else { return };
    let zero = "config.limits.drain_s=0,config.limits.drain_delay_s=0,config.limits.address_per_second=0";
    let chart = render(&helm, "default", &[], &["--set", zero, "--set", "config.redis.timeout_ms=50"]);
    let config = chart.config();
    for name in ["drain_s", "drain_delay_s", "address_per_second"] {
        assert_eq!(config["limits"][name], 0, "{name}");
    }
    assert_eq!(config["redis"]["timeout_ms"], 50, "a section that the chart sets a part of");
    assert_eq!(config["limits"]["workers"], 2);
    let off = render(&helm, "default", &[], &["--set", "config.traces.trust_callers=false,config.log.format=text"]);
    assert_eq!(
        (&off.config()["traces"]["trust_callers"], &off.config()["log"]["format"]),
        (&false.into(), &"text".into())
    );
}

#[test]
fn large_numbers_arrive_as_they_were_written() {
    let Some(chart) = chart("ha") else { return };
    assert!(chart.config_text().contains("body_bytes_max: 8388608\n"), "{}", chart.config_text());
}

#[test]
fn keys_are_made_anew_for_every_release_that_has_none() {
    let Some(helm) = Helm::find() else { return };
    let data = |more: &[&str]| {
        let chart = render(&helm, "own-secret", &[], &[&["--set", "secrets.adminBootstrapKey="], more].concat());
        chart.of("Secret").next().unwrap()["data"].clone()
    };
    let (one, other) = (data(&[]), data(&[]));
    for name in ["sealing-key", "admin-bootstrap-key"] {
        assert!(one[name].is_string() && one[name] != other[name], "{name}: {} and {}", one[name], other[name]);
    }
    let given = data(&["--set", "secrets.sealingKey=0123456789abcdef0123456789abcdef,admin.listen=off"]);
    assert_eq!(given["sealing-key"], "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=");
    assert!(given["admin-bootstrap-key"].is_null(), "a key for an API that is off");
}

#[test]
fn notes_say_how_to_go_on_and_show_no_secret() {
    let Some(helm) = Helm::find() else { return };
    let notes = |set: &str| {
        // Notes are only shown for an installation; a dry run of one asks no cluster but for its version.
        let text = fs::read_to_string(folder().join("templates/NOTES.txt")).unwrap();
        let copy = TempDir::with_prefix("patchbay-notes-").unwrap();
        let whole = helm.run(&["package", path(&folder()), "--destination", path(copy.path())]).good();
        let package = whole.trim().rsplit(": ").next().unwrap().to_owned();
        run(Command::new("tar").args(["-xzf", &package, "-C", path(copy.path())])).good();
        let chart = copy.path().join("patchbay");
        for unshipped in ["ci", "rules/tests", "README.md"] {
            assert!(!chart.join(unshipped).exists(), "{unshipped} is in the package");
        }
        let map = format!(
            "apiVersion: v1\nkind: ConfigMap\nmetadata: {{ name: notes }}\ndata:\n  notes: |\n    {{{{- include \"notes\" . | nindent 4 }}}}\n{{{{- define \"notes\" }}}}\n{text}\n{{{{- end }}}}\n"
        );
        fs::write(chart.join("templates/shown.yaml"), map).unwrap();
        let values = values(set);
        let args =
            ["template", "patchbay", path(&chart), "-n", "tools", "-f", path(&values), "--kube-version", "1.31.0"];
        helm.run(&[&args[..], &["--show-only", "templates/shown.yaml"]].concat()).good()
    };
    let own = notes("own-secret");
    assert!(!own.contains("canary-of-") && own.contains("Keep a copy with the backups"), "{own}");
    assert!(
        own.contains("helm test -n tools patchbay") && own.contains("port-forward service/patchbay 8080:80"),
        "{own}"
    );
    let ha = notes("ha");
    assert!(ha.contains("https://tools.example.org/t/acme/mcp") && !ha.contains("trusted_proxies is empty"), "{ha}");
    assert!(ha.contains("no Prometheus operator"), "{ha}");
    let tuned = notes("tuned");
    assert!(
        tuned.contains("https://example.org/tools/t/acme/mcp") && tuned.contains("trusted_proxies is empty"),
        "{tuned}"
    );
    assert!(own.contains("index .data \"admin-bootstrap-key\" | base64decode"), "{own}");
    let embedded = notes("embedded");
    assert!(embedded.contains("for a trial") && embedded.contains("shows a key for it once"), "{embedded}");
    assert!(notes("admin").contains("port-forward service/patchbay-admin 9091"));
    assert!(notes("stateful").contains("statefulset/patchbay"));
    assert!(!notes("quiet").contains("/admin/v1"));
}
