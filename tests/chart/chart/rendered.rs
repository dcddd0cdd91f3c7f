//! What helm rendered, as values to look at: the objects of one set of values, and the ways to them that rules need.

use std::sync::OnceLock;

use serde_json::Value;

use crate::chart::helm::{Helm, OPERATORS, names, values};

/// The chart, rendered with one set of values.
#[derive(Clone)]
pub(crate) struct Chart {
    /// The name of the set.
    pub(crate) set: String,
    /// What is in the file of the set.
    pub(crate) given: Value,
    /// What was rendered, as text.
    pub(crate) text: String,
    /// The objects.
    pub(crate) objects: Vec<Value>,
}

/// A pod that the chart makes: its object, its metadata and its spec.
pub(crate) struct Pod<'a> {
    pub(crate) name: String,
    pub(crate) metadata: &'a Value,
    pub(crate) spec: &'a Value,
}

impl Pod<'_> {
    /// Its containers.
    pub(crate) fn containers(&self) -> Vec<&Value> {
        list(&self.spec["initContainers"]).chain(list(&self.spec["containers"])).collect()
    }
}

impl Chart {
    /// Parses what was rendered.
    pub(crate) fn read(set: &str, given: Value, text: String) -> Self {
        let objects: Vec<Value> = yaml(&text);
        let objects = objects.into_iter().filter(|object| !object.is_null()).collect();
        Self { set: set.to_owned(), given, text, objects }
    }

    /// The objects of a kind.
    pub(crate) fn of<'a>(&'a self, kind: &'a str) -> impl Iterator<Item = &'a Value> {
        self.objects.iter().filter(move |object| object["kind"] == kind)
    }

    /// The object of that kind and name.
    pub(crate) fn named<'a>(&'a self, kind: &'a str, name: &'a str) -> Option<&'a Value> {
        self.of(kind).find(move |object| object["metadata"]["name"] == name)
    }

    /// The Deployment or StatefulSet.
    pub(crate) fn workload(&self) -> &Value {
        let mut workloads = self.of("Deployment").chain(self.of("StatefulSet"));
        let one = workloads.next().unwrap_or_else(|| panic!("{}: there is no workload", self.set));
        assert!(workloads.next().is_none(), "{}: there is more than one workload", self.set);
        one
    }

    /// The name of the workload, and so of what belongs to it.
    pub(crate) fn name(&self) -> &str {
        text(&self.workload()["metadata"]["name"])
    }

    /// The gateway's pod.
    pub(crate) fn gateway(&self) -> Pod<'_> {
        self.pod_of(self.workload())
    }

    /// The gateway's container.
    pub(crate) fn container(&self) -> &Value {
        &self.workload()["spec"]["template"]["spec"]["containers"][0]
    }

    /// All pods that the chart makes, hooks included.
    pub(crate) fn pods(&self) -> Vec<Pod<'_>> {
        let jobs = self.of("Job").map(|job| self.pod_of(job));
        let alone = self.of("Pod").map(|pod| Pod { name: title(pod), metadata: &pod["metadata"], spec: &pod["spec"] });
        std::iter::once(self.gateway()).chain(jobs).chain(alone).collect()
    }

    fn pod_of<'a>(&self, object: &'a Value) -> Pod<'a> {
        let template = &object["spec"]["template"];
        Pod { name: title(object), metadata: &template["metadata"], spec: &template["spec"] }
    }

    /// The rendered `patchbay.yaml`.
    pub(crate) fn config(&self) -> Value {
        one(self.config_text())
    }

    /// Its text.
    pub(crate) fn config_text(&self) -> &str {
        text(&self.named("ConfigMap", self.name()).unwrap()["data"]["patchbay.yaml"])
    }

    /// Whether it is the trial.
    pub(crate) fn is_embedded(&self) -> bool {
        self.given["embedded"] == true
    }

    /// The fewest gateways that there are on purpose.
    pub(crate) fn replicas_min(&self) -> u64 {
        let scaled = self.of("HorizontalPodAutoscaler").next().map(|scaler| &scaler["spec"]["minReplicas"]);
        scaled.unwrap_or(&self.workload()["spec"]["replicas"]).as_u64().unwrap()
    }

    /// Sets what stands at a JSON pointer of the first object of a kind; null removes it.
    pub(crate) fn change(&mut self, kind: &str, at: &str, to: Value) {
        let object = self.objects.iter_mut().find(|object| object["kind"] == kind);
        let object = object.unwrap_or_else(|| panic!("{} has no {kind}", self.set));
        let (parent, name) = at.rsplit_once('/').unwrap();
        let parent = object.pointer_mut(parent).unwrap_or_else(|| panic!("{kind} has nothing at {parent}"));
        let name = name.replace("~1", "/");
        match parent {
            Value::Array(items) => items[name.parse::<usize>().unwrap()] = to,
            Value::Object(fields) if to.is_null() => drop(fields.shift_remove(&name)),
            Value::Object(fields) => drop(fields.insert(name, to)),
            other => panic!("{at} is in {other}"),
        }
    }
}

/// Every set of values, rendered for a cluster that has all operators; `None` without helm.
pub(crate) fn charts() -> Option<&'static [Chart]> {
    static CHARTS: OnceLock<Option<Vec<Chart>>> = OnceLock::new();
    CHARTS.get_or_init(|| Some(render_all(&Helm::find()?))).as_deref()
}

fn render_all(helm: &Helm) -> Vec<Chart> {
    let names = names("ci");
    assert!(names.len() >= 12, "only {names:?} were found; the rules would hold for little");
    names.iter().map(|set| render(helm, set, &OPERATORS, &[])).collect()
}

/// One set of values, rendered.
pub(crate) fn render(helm: &Helm, set: &str, operators: &[&str], more: &[&str]) -> Chart {
    let file = values(set);
    let given = one(&std::fs::read_to_string(&file).unwrap());
    Chart::read(set, given, helm.template(&file, "1.31.0", operators, more).good())
}

/// The chart of one set.
pub(crate) fn chart(set: &str) -> Option<Chart> {
    charts().map(|charts| charts.iter().find(|chart| chart.set == set).unwrap_or_else(|| panic!("no {set}")).clone())
}

/// YAML documents.
pub(crate) fn yaml(text: &str) -> Vec<Value> {
    serde_saphyr::from_multiple(text).unwrap_or_else(|error| panic!("{error}\n{text}"))
}

/// A YAML document.
pub(crate) fn one(text: &str) -> Value {
    yaml(text).pop().unwrap_or_default()
}

/// The items of an array that may not be there.
pub(crate) fn list(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

pub(crate) fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

/// An object by its kind and name.
pub(crate) fn title(object: &Value) -> String {
    format!("{} {}", text(&object["kind"]), text(&object["metadata"]["name"]))
}

/// Whether labels have all that a selector wants, which has to be something.
pub(crate) fn selects(selector: &Value, labels: &Value) -> bool {
    let wanted = selector.as_object();
    wanted.is_some_and(|wanted| !wanted.is_empty() && wanted.iter().all(|(name, value)| labels[name] == *value))
}

/// Every text in a value, with the field before it.
pub(crate) fn texts(value: &Value) -> Vec<&str> {
    match value {
        Value::String(text) => vec![text],
        Value::Array(items) => items.iter().flat_map(texts).collect(),
        Value::Object(fields) => fields.values().flat_map(texts).collect(),
        _ => Vec::new(),
    }
}
