//! One operation on the page: what it does, what it takes, what it answers, and beside it how it is asked.

use serde_json::{Map, Value as Json};

use super::{
    super::ROOT,
    example,
    fields::{Shapes, place, title},
    html::{escape, prose},
};

/// Fields of a body that are shown without being asked for.
const FIELDS_OPEN: usize = 8;

/// An operation of the document.
#[derive(Debug, Clone, Copy)]
pub(super) struct Operation<'d> {
    pub(super) method: &'d str,
    pub(super) path: &'d str,
    pub(super) about: &'d Json,
}

impl<'d> Operation<'d> {
    /// Its id, which is also its place on the page.
    pub(super) fn id(self) -> &'d str {
        self.about["operationId"].as_str().unwrap_or_default()
    }

    /// What it does, in a sentence.
    pub(super) fn summary(self) -> &'d str {
        self.about["summary"].as_str().unwrap_or_default()
    }

    /// Whether it is of this noun.
    pub(super) fn is_of(self, tag: &str) -> bool {
        self.about["tags"].as_array().into_iter().flatten().any(|own| own == tag)
    }

    /// Its method as a badge.
    pub(super) fn badge(self) -> String {
        format!("<span class=\"m {0}\">{0}</span>", self.method)
    }

    /// All of it.
    pub(super) fn html(self, shapes: Shapes<'_>) -> String {
        let id = escape(self.id());
        let path = escape(self.path.strip_prefix(ROOT).unwrap_or(self.path));
        let about =
            self.about["description"].as_str().map(|text| format!("<p>{}</p>", prose(text))).unwrap_or_default();
        format!(
            "<article id=\"{id}\"><div class=what><h3>{} <code class=path><i>{ROOT}</i>{path}</code> \
             <a class=here href=\"#{id}\" aria-label=\"A link to this operation\">#</a></h3>\
             <p class=sum>{}.</p>{about}{}{}{}</div><div class=how>{}</div></article>\n",
            self.badge(),
            prose(self.summary()),
            self.parameters(shapes),
            self.body(shapes),
            self.answers(shapes),
            self.samples(shapes),
        )
    }

    fn parameters(self, shapes: Shapes<'_>) -> String {
        let listed = self.about["parameters"].as_array().into_iter().flatten();
        let rows: String = listed.map(|parameter| row(shapes, parameter)).collect();
        if rows.is_empty() {
            return rows;
        }
        format!("<h4>Parameters</h4><table class=fields><tbody>{rows}</tbody></table>")
    }

    fn body(self, shapes: Shapes<'_>) -> String {
        let Some(contents) = self.about["requestBody"]["content"].as_object() else { return String::new() };
        let kinds: Vec<_> = contents.keys().map(|kind| format!("<code>{}</code>", escape(kind))).collect();
        let schema = contents.values().next().map_or(&Json::Null, |content| &content["schema"]);
        let (words, table) = (shapes.words(schema), shapes.table(schema));
        let head = format!("<h4>Body <small>{words} as {}</small></h4>", kinds.join(" or "));
        let about = shapes.resolve(schema)["description"].as_str().unwrap_or_default();
        if table.is_empty() {
            return format!("{head}<p>{}</p>", prose(about));
        }
        let count = shapes.members(schema).0.len();
        let open = if count <= FIELDS_OPEN { " open" } else { "" };
        format!("{head}<details{open}><summary>{count} {}</summary>{table}</details>", plural(count, "field"))
    }

    fn answers(self, shapes: Shapes<'_>) -> String {
        let (mut good, mut named, mut refusals) = (String::new(), String::new(), Vec::new());
        for (status, response) in self.about["responses"].as_object().into_iter().flatten() {
            if status.starts_with('2') {
                good.push_str(&answer(shapes, status, response));
            } else if response.get("$ref").is_some() {
                refusals.push(format!("<a class=\"s no\" href=\"#problem-{0}\">{0}</a>", escape(status)));
            } else {
                let about = prose(response["description"].as_str().unwrap_or_default());
                named.push_str(&format!(
                    "<li><a class=\"s no\" href=\"#problem-{0}\">{0}</a> <span>{about}</span></li>",
                    escape(status)
                ));
            }
        }
        format!(
            "<h4>Answers</h4><ul class=answers>{good}{named}<li class=refusals><span class=bound>Refused:</span> {}</li></ul>",
            refusals.join(" ")
        )
    }

    fn samples(self, shapes: Shapes<'_>) -> String {
        let curl = example::curl(self.method, self.path, self.about);
        let answers = self.about["responses"].as_object();
        let first = answers.into_iter().flatten().find(|(status, _)| status.starts_with('2'));
        let told = first.and_then(|(status, response)| {
            let content = &response["content"]["application/json"]["schema"];
            let value = (!content.is_null()).then(|| example::value(shapes, content))?;
            let text = example::pretty(&value);
            Some(format!("<h5>{}</h5><pre tabindex=0><code>{}</code></pre>", escape(status), escape(&text)))
        });
        format!("<h5>Request</h5><pre tabindex=0><code>{}</code></pre>{}", escape(&curl), told.unwrap_or_default())
    }
}

fn row(shapes: Shapes<'_>, parameter: &Json) -> String {
    if parameter.get("$ref").is_some() {
        return "<tr><td><code>Idempotency-Key</code></td><td class=type>header</td><td>Does it once, however often it is \
                sent: <a href=\"#about-doing-it-once\">doing it once</a>.</td></tr>"
            .to_owned();
    }
    let text = |member: &str| escape(parameter[member].as_str().unwrap_or_default());
    let must = if parameter["required"] == true { " <b class=must>required</b>" } else { "" };
    format!(
        "<tr><td><code>{}</code>{must}</td><td class=type>{}{}</td><td>{}</td></tr>",
        text("name"),
        text("in"),
        if parameter["in"] == "query" { format!(", {}", shapes.words(&parameter["schema"])) } else { String::new() },
        prose(parameter["description"].as_str().unwrap_or_default()),
    )
}

fn answer(shapes: Shapes<'_>, status: &str, response: &Json) -> String {
    let about = prose(response["description"].as_str().unwrap_or_default());
    let contents = response["content"].as_object();
    let bodies: Vec<_> =
        contents.into_iter().flatten().map(|(kind, content)| body_words(shapes, kind, content)).collect();
    let bodies = if bodies.is_empty() { String::new() } else { format!(" <small>{}</small>", bodies.join(" or ")) };
    format!(
        "<li><span class=\"s ok\">{}</span> <span>{about}{bodies}{}</span></li>",
        escape(status),
        headers(response["headers"].as_object())
    )
}

fn body_words(shapes: Shapes<'_>, kind: &str, content: &Json) -> String {
    match shapes.behind(&content["schema"]) {
        Some((name, _)) if kind == "application/json" => {
            format!("<a href=\"#{}\">{}</a>", place(name), escape(&title(name)))
        }
        _ => format!("<code>{}</code>", escape(kind)),
    }
}

fn headers(headers: Option<&Map<String, Json>>) -> String {
    let named = |(name, header): (&String, &Json)| {
        let about = prose(header["description"].as_str().unwrap_or_default());
        format!("<br><small><code>{}</code> {about}</small>", escape(name))
    };
    headers.into_iter().flatten().map(named).collect()
}

/// The word for so many.
pub(super) fn plural(count: usize, one: &str) -> String {
    if count == 1 { one.to_owned() } else { format!("{one}s") }
}
