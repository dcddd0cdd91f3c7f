//! The whole of one rendering, so that whoever changes a template sees what it does. `UPDATE_CHART=1` writes it anew.

use std::{env, fs, path::Path};

use crate::chart::rendered::chart;

#[test]
fn the_least_that_an_installation_needs_renders_as_before() {
    let Some(chart) = chart("default") else { return };
    // Dashboards and alerts are held to their files elsewhere, and are long.
    let parts = chart.text.split("---\n# Source: ");
    let own =
        parts.filter(|part| !part.starts_with("patchbay/templates/dashboards") && !part.contains("PrometheusRule"));
    let rendered = own.collect::<Vec<_>>().join("---\n# Source: ");
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("chart/golden/default.yaml");
    if env::var_os("UPDATE_CHART").is_some() {
        fs::write(&file, &rendered).unwrap();
    }
    let kept = fs::read_to_string(&file).unwrap_or_default();
    let differs = kept.lines().zip(rendered.lines()).position(|(kept, now)| kept != now);
    assert!(
        kept == rendered,
        "the rendering differs from line {} of {} on; if it should, run the test with UPDATE_CHART=1 and read the difference",
        differs.map_or(kept.lines().count().min(rendered.lines().count()), |line| line) + 1,
        file.display()
    );
    let trailing = rendered.lines().find(|line| line.ends_with(' '));
    assert_eq!(trailing, None, "a template leaves blanks at the end of a line");
}
