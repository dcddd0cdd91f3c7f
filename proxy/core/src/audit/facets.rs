//! What a record is found by, read back from its line without making a tree of it. The lines are our own ([`super::line`]), so
//! the reading relies on their being JSON; of any other text it gives something or nothing, and never fails.

use std::borrow::Cow;

use memchr::{memchr, memchr2};

/// What a record is found by.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Facets {
    /// Who: `key:ID`, `token:ISSUER:SUBJECT`, `admin_key:ID`, `operator`, `anonymous`, `unknown`, `gateway`.
    pub actor: String,
    /// The server.
    pub server: Option<String>,
    /// The tool, prompt or URI, by the name that the client used.
    pub name: Option<String>,
    /// How it ended.
    pub outcome: String,
}

impl Facets {
    /// Reads them from a record; what is not there stays empty.
    pub fn of(json: &str) -> Self {
        let mut facets = Self::default();
        for (key, value) in Members::of(json) {
            match key {
                "actor" => facets.actor = actor(value),
                "server" => facets.server = text(value).map(Cow::into_owned),
                "exposed" => facets.name = text(value).map(Cow::into_owned),
                "outcome" => facets.outcome = text(value).unwrap_or_default().into_owned(),
                _ => {}
            }
        }
        facets
    }
}

/// The word for who did it.
fn actor(object: &str) -> String {
    let [mut kind, mut key, mut issuer, mut subject] = [const { Cow::Borrowed("") }; 4];
    for (name, value) in Members::of(object) {
        let place = match name {
            "kind" => &mut kind,
            "key" => &mut key,
            "issuer" => &mut issuer,
            "subject" => &mut subject,
            _ => continue,
        };
        *place = text(value).unwrap_or_default();
    }
    match &*kind {
        "key" | "admin_key" => [&*kind, ":", &key].concat(),
        "token" => [&*kind, ":", &issuer, ":", &subject].concat(),
        _ => kind.into_owned(),
    }
}

/// What a string says; `None` for another value.
fn text(value: &str) -> Option<Cow<'_, str>> {
    let inner = value.strip_prefix('"')?.strip_suffix('"')?;
    match memchr(b'\\', inner.as_bytes()) {
        None => Some(Cow::Borrowed(inner)),
        Some(_) => serde_json::from_str(value).ok().map(Cow::Owned),
    }
}

/// The members of an object, values as they stand. It ends where the text is none.
struct Members<'a> {
    rest: &'a str,
}

impl<'a> Members<'a> {
    fn of(object: &'a str) -> Self {
        Self { rest: object.strip_prefix('{').unwrap_or_default() }
    }

    fn read(&mut self) -> Option<(&'a str, &'a str)> {
        let (key, rest) = split(self.rest, string_end(self.rest)?)?;
        let rest = rest.strip_prefix(':')?;
        let (value, rest) = split(rest, value_end(rest)?)?;
        self.rest = rest.strip_prefix(',').unwrap_or_default();
        Some((key.get(1..key.len() - 1)?, value))
    }
}

impl<'a> Iterator for Members<'a> {
    type Item = (&'a str, &'a str);

    fn next(&mut self) -> Option<Self::Item> {
        self.read()
    }
}

fn split(text: &str, at: usize) -> Option<(&str, &str)> {
    text.split_at_checked(at)
}

/// Where the string ends that the text begins with.
fn string_end(text: &str) -> Option<usize> {
    let bytes = text.as_bytes();
    let mut at = bytes.first().filter(|first| **first == b'"').map(|_| 1)?;
    loop {
        at += memchr2(b'"', b'\\', bytes.get(at..)?)?;
        match bytes[at] {
            b'"' => return Some(at + 1),
            _ => at += 2,
        }
    }
}

/// Where the value ends that the text begins with.
fn value_end(text: &str) -> Option<usize> {
    match text.as_bytes().first()? {
        b'"' => string_end(text),
        b'{' | b'[' => nested_end(text),
        _ => Some(text.find([',', '}', ']']).unwrap_or(text.len())),
    }
}

fn nested_end(text: &str) -> Option<usize> {
    let mut depth = 0usize;
    let mut at = 0;
    loop {
        match text.as_bytes().get(at)? {
            b'"' => {
                at += string_end(text.get(at..)?)?;
                continue;
            }
            b'{' | b'[' => depth += 1,
            b'}' | b']' if depth == 1 => return Some(at + 1),
            b'}' | b']' => depth -= 1,
            _ => {}
        }
        at += 1;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn a_call_is_found_by_who_where_what_and_how() {
        let line = r#"{"event":"01a1","at_ms":1,"action":"tool.call","tenant":"00","actor":{"kind":"key","key":"c0de","ip":"192.0.2.7"},"server":"shop","exposed":"shop_query","native":"query","arguments":{"server":"no","actor":["}",{"a":"\"}"}]},"outcome":"answered","status":200}"#;
        let expected = Facets {
            actor: "key:c0de".to_owned(),
            server: Some("shop".to_owned()),
            name: Some("shop_query".to_owned()),
            outcome: "answered".to_owned(),
        };
        assert_eq!(Facets::of(line), expected);
    }

    #[test]
    fn each_sort_of_actor_has_its_words() {
        for (actor, words) in [
            (json!({"kind": "key", "key": "c0de"}), "key:c0de"),
            (
                json!({"kind": "token", "issuer": "corp", "iss": "https://i", "subject": "a\"é\n", "name": "x"}),
                "token:corp:a\"é\n",
            ),
            (json!({"kind": "admin_key", "key": "c0de"}), "admin_key:c0de"),
            (json!({"kind": "operator"}), "operator"),
            (json!({"kind": "anonymous", "ip": "::1"}), "anonymous"),
            (json!({"kind": "unknown"}), "unknown"),
            (json!({"kind": "gateway"}), "gateway"),
            (json!({}), ""),
        ] {
            assert_eq!(Facets::of(&json!({"at_ms": 1, "actor": actor, "outcome": "failed"}).to_string()).actor, words);
        }
    }

    #[test]
    fn what_is_not_there_stays_empty() {
        for line in ["", "{", "{}", "[]", "null", r#"{"server""#, r#"{"server":"#, r#"{"server":"a"#, r#"{"server":"\"#]
        {
            assert_eq!(Facets::of(line), Facets::default(), "{line}");
        }
        assert_eq!(Facets::of(r#"{"server":null,"exposed":7,"outcome":true}"#), Facets::default());
    }

    fn value() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            any::<String>().prop_map(Value::from),
        ];
        leaf.prop_recursive(3, 20, 4, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                prop::collection::vec(("[a-z]{0,7}", inner), 0..4)
                    .prop_map(|members| Value::Object(members.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn whatever_else_stands_in_a_line_the_facets_are_read_as_a_parser_would(
            members in prop::collection::vec(("server|exposed|outcome|arguments|actor|[a-z]{1,4}", value()), 0..8),
        ) {
            let line = Value::Object(members.into_iter().collect());
            let facets = Facets::of(&line.to_string());
            let text = |name: &str| line[name].as_str().map(str::to_owned);
            prop_assert_eq!(&facets.server, &text("server"));
            prop_assert_eq!(&facets.name, &text("exposed"));
            prop_assert_eq!(&facets.outcome, &text("outcome").unwrap_or_default());
        }

        #[test]
        fn no_text_makes_the_reading_fail(text in any::<String>(), pieces in r#"[{}\[\]":,\\a1é ]{0,60}"#) {
            Facets::of(&text);
            Facets::of(&pieces);
            Facets::of(&format!(r#"{{"actor":{{{pieces}"#));
        }
    }
}
