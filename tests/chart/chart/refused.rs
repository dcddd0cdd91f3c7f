//! Values that cannot work, each in a file of `helm/ci/bad` whose first line says in which words it is refused.

use std::fs;

use crate::chart::helm::{Helm, folder, names};

#[test]
fn values_that_cannot_work_are_refused_by_name() {
    let Some(helm) = Helm::find() else { return };
    let names = names("ci/bad");
    assert!(names.len() >= 30, "only {names:?} were found");
    let mut findings = Vec::new();
    for name in names {
        let file = folder().join(format!("ci/bad/{name}.yaml"));
        let text = fs::read_to_string(&file).unwrap();
        let first = text.lines().next().unwrap_or_default();
        let wanted = first.strip_prefix("# refused with: ").unwrap_or_else(|| panic!("{name} does not say how"));
        let said = helm.template(&file, "1.31.0", &[], &[]);
        if said.code == 0 || !said.err.contains(wanted) {
            findings.push(format!("{name}: expected `{wanted}`, found {}: {}", said.code, said.err));
        }
    }
    assert!(findings.is_empty(), "\n{}", findings.join("\n"));
}
