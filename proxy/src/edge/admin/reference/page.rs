//! The page as a whole: contents at the side, what the API is like, the nouns with their operations, the refusals, the shapes.

use serde_json::Value as Json;

use super::{
    super::ROOT,
    fields::{Shapes, place, title, words_of},
    html::{anchor, chapters, escape, prose},
    operation::Operation,
};

/// A noun and its operations.
struct Noun<'d> {
    name: &'d str,
    about: &'d str,
    operations: Vec<Operation<'d>>,
}

/// The page of a document.
pub(super) fn page(document: &Json, style: &str) -> String {
    let shapes = Shapes(&document["components"]["schemas"]);
    let nouns = nouns(document);
    let (lead, about) = chapters(document["info"]["description"].as_str().unwrap_or_default());
    let (name, version) = (&document["info"]["title"], &document["info"]["version"]);
    let (name, version) = (escape(name.as_str().unwrap_or_default()), escape(version.as_str().unwrap_or_default()));
    let chapters: String = about
        .iter()
        .map(|(heading, text)| {
            format!("<section id=\"about-{}\"><h3>{}</h3>{text}</section>", anchor(heading), escape(heading))
        })
        .collect();
    let sections: String = nouns.iter().map(|noun| noun.html(shapes)).collect();
    format!(
        "<!DOCTYPE html>\n<html lang=en><head><meta charset=utf-8><title>{name}</title>\
         <meta name=viewport content=\"width=device-width, initial-scale=1\"><meta name=color-scheme content=\"light dark\">\
         <style>{style}</style></head>\n<body><a class=skip href=\"#about\">To the text</a>{}<main>\
         <header id=about><h1>{name} <small>{version}</small></h1>{lead}\
         <p class=links><a href=\"{ROOT}/openapi.json\">The OpenAPI document</a></p></header>\
         <div class=chapters>{chapters}</div>\n{sections}{}{}</main></body></html>\n",
        contents(&nouns, &about, &name),
        problems(document, shapes),
        all_shapes(shapes),
    )
}

fn nouns(document: &Json) -> Vec<Noun<'_>> {
    let paths = document["paths"].as_object();
    let all: Vec<Operation<'_>> = paths
        .into_iter()
        .flatten()
        .flat_map(|(path, item)| {
            item.as_object().into_iter().flatten().map(move |(method, about)| (path, method, about))
        })
        .map(|(path, method, about)| Operation { method, path, about })
        .collect();
    let tags = document["tags"].as_array().into_iter().flatten();
    tags.map(|tag| {
        let name = tag["name"].as_str().unwrap_or_default();
        Noun {
            name,
            about: tag["description"].as_str().unwrap_or_default(),
            operations: sorted(all.iter().copied().filter(|operation| operation.is_of(name)).collect()),
        }
    })
    .filter(|noun| !noun.operations.is_empty())
    .collect()
}

/// The operations of a noun: first those of its own paths, each from looking to taking away.
fn sorted(mut operations: Vec<Operation<'_>>) -> Vec<Operation<'_>> {
    const METHODS: [&str; 5] = ["get", "post", "put", "patch", "delete"];
    let place = |operation: &Operation<'_>| METHODS.iter().position(|method| *method == operation.method);
    let is_odd = |operation: &Operation<'_>| operation.path.ends_with("/probe");
    operations.sort_by_key(|operation| (is_odd(operation), operation.path, place(operation)));
    operations
}

impl Noun<'_> {
    fn heading(&self) -> String {
        let mut letters = self.name.chars();
        let first = letters.next().map(|letter| letter.to_ascii_uppercase()).into_iter();
        first.chain(letters).collect()
    }

    fn html(&self, shapes: Shapes<'_>) -> String {
        let operations: String = self.operations.iter().map(|operation| operation.html(shapes)).collect();
        format!(
            "<section class=noun id=\"noun-{}\"><h2>{}</h2><p class=lead>{}</p>\n{operations}</section>\n",
            anchor(self.name),
            escape(&self.heading()),
            prose(self.about),
        )
    }
}

fn contents(nouns: &[Noun<'_>], about: &[(&str, String)], name: &str) -> String {
    let chapters: String = about
        .iter()
        .map(|(heading, _)| format!("<li><a href=\"#about-{}\">{}</a></li>", anchor(heading), escape(heading)))
        .collect();
    let operation = |operation: &Operation<'_>| {
        format!(
            "<li><a href=\"#{}\">{} <span>{}</span></a></li>",
            escape(operation.id()),
            operation.badge(),
            prose(operation.summary().split([':', ';']).next().unwrap_or_default()),
        )
    };
    let noun = |noun: &Noun<'_>| {
        let operations: String = noun.operations.iter().map(operation).collect();
        format!("<h2><a href=\"#noun-{}\">{}</a></h2><ul>{operations}</ul>", anchor(noun.name), escape(&noun.heading()))
    };
    let nouns: String = nouns.iter().map(noun).collect();
    format!(
        "<nav aria-label=Contents><details class=toc><summary>{name}</summary><div>\
         <h2><a href=\"#about\">About</a></h2><ul class=plain>{chapters}</ul>{nouns}\
         <h2><a href=\"#problems\">Refusals</a></h2><h2><a href=\"#shapes\">Shapes</a></h2></div></details></nav>"
    )
}

fn problems(document: &Json, shapes: Shapes<'_>) -> String {
    let mut rows = String::new();
    for sort in super::super::openapi::PROBLEMS {
        let about = &document["components"]["responses"][sort.name]["description"];
        rows.push_str(&format!(
            "<tr id=\"problem-{0}\"><td><span class=\"s no\">{0}</span></td><td>{1}</td></tr>",
            sort.status,
            prose(about.as_str().unwrap_or_default()),
        ));
    }
    format!(
        "<section class=noun id=problems><h2>Refusals</h2><p class=lead>{}</p>\
         <table class=\"fields sorts\"><tbody>{rows}</tbody></table>\
         <h4>Their body <small><code>application/problem+json</code> (RFC 9457)</small></h4>{}</section>\n",
        prose(
            "What is refused says what was expected, and which fields are wrong, all at once. A `type` of `about:blank` means no more than the status."
        ),
        shapes.table(&document["components"]["schemas"]["Problem"]),
    )
}

fn all_shapes(shapes: Shapes<'_>) -> String {
    let all: String =
        shapes.0.as_object().into_iter().flatten().map(|(name, schema)| shape(shapes, name, schema)).collect();
    format!("<section class=noun id=shapes><h2>Shapes</h2><p class=lead>What bodies are made of.</p>{all}</section>")
}

fn shape(shapes: Shapes<'_>, name: &str, schema: &Json) -> String {
    let table = shapes.table(schema);
    let words = words_of(schema);
    let content = match (table.is_empty(), words.is_empty()) {
        (false, _) => table,
        (true, false) => words_list(schema),
        (true, true) => format!("<p>{}</p>", shapes.words(schema)),
    };
    let about = schema["description"].as_str().map(|text| format!("<p>{}</p>", prose(text))).unwrap_or_default();
    let (place, title) = (place(name), title(name));
    format!("<section class=shape id=\"{place}\"><h3>{}</h3>{about}{content}</section>\n", escape(&title))
}

/// The words of a shape, with what each means where that is said.
fn words_list(schema: &Json) -> String {
    let choices = schema["oneOf"].as_array().or_else(|| schema["anyOf"].as_array());
    let Some(choices) = choices else {
        let words = words_of(schema).into_iter().map(|word| format!("<code>{}</code>", escape(word)));
        return format!("<p>{}</p>", words.collect::<Vec<_>>().join(" | "));
    };
    let row = |choice: &Json| {
        let word = words_of(choice).first().copied().unwrap_or_default();
        let about = prose(choice["description"].as_str().unwrap_or_default());
        format!("<dt><code>{}</code></dt><dd>{about}</dd>", escape(word))
    };
    format!("<dl class=words>{}</dl>", choices.iter().map(row).collect::<String>())
}
