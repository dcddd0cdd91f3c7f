//! PostgreSQL's text form of arrays as JSON: `{1,NULL,"a \"b\""}`, nested, with bounds in front where they are not from 1.

use serde_json::Value;

use super::cells::Element;

/// PostgreSQL allows six dimensions.
const DEPTH_MAX: usize = 6;

/// The array, or nothing when the text is not one.
pub(crate) fn parse(text: &str, element: Element) -> Option<Value> {
    // Bounds, as in `[0:1]={1,2}`, have no place in JSON.
    let text = if text.starts_with('[') { text.split_once('=')?.1 } else { text };
    let mut reader = Reader { rest: text, element };
    let array = reader.array(0)?;
    reader.rest.is_empty().then_some(array)
}

struct Reader<'a> {
    rest: &'a str,
    element: Element,
}

impl Reader<'_> {
    fn eat(&mut self, c: char) -> bool {
        match self.rest.strip_prefix(c) {
            Some(rest) => {
                self.rest = rest;
                true
            }
            None => false,
        }
    }

    fn array(&mut self, depth: usize) -> Option<Value> {
        if depth == DEPTH_MAX || !self.eat('{') {
            return None;
        }
        let mut cells = Vec::new();
        if self.eat('}') {
            return Some(cells.into());
        }
        loop {
            cells.push(self.item(depth)?);
            if self.eat('}') {
                return Some(cells.into());
            }
            if !self.eat(',') {
                return None;
            }
        }
    }

    fn item(&mut self, depth: usize) -> Option<Value> {
        if self.rest.starts_with('{') {
            return self.array(depth + 1);
        }
        if self.eat('"') {
            return self.quoted();
        }
        let end = self.rest.find([',', '}'])?;
        let (text, rest) = self.rest.split_at(end);
        self.rest = rest;
        Some(if text == "NULL" { Value::Null } else { self.element.cell(text) })
    }

    fn quoted(&mut self) -> Option<Value> {
        let (mut text, mut chars) = (String::new(), self.rest.char_indices());
        while let Some((index, c)) = chars.next() {
            match c {
                '"' => {
                    self.rest = &self.rest[index + 1..];
                    return Some(self.element.cell(&text));
                }
                '\\' => text.push(chars.next()?.1),
                c => text.push(c),
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_no_whole_array_is_none() {
        for text in
            ["", "{", "{1", "{1,", "{1,2", "{\"a", "{\"a\\", "{1}}", "{1}x", "1 2", "[0:1]", "{{1}", "{{{{{{{1}}}}}}}"]
        {
            assert_eq!(parse(text, Element::Text), None, "{text}");
        }
    }

    #[test]
    fn arrays_are_nested_quoted_and_have_holes() {
        assert_eq!(parse("{}", Element::Integer), Some(json!([])));
        assert_eq!(parse("{{1,2},{3,NULL}}", Element::Integer), Some(json!([[1, 2], [3, null]])));
        assert_eq!(parse("[0:1]={t,f}", Element::Bool), Some(json!([true, false])));
        assert_eq!(parse("[1:1][-2:-1]={{1,2}}", Element::Integer), Some(json!([[1, 2]])));
        assert_eq!(
            parse(r#"{a,"b,c","d\"e\\f","{}","NULL","",é}"#, Element::Text),
            Some(json!(["a", "b,c", "d\"e\\f", "{}", "NULL", "", "é"]))
        );
        assert_eq!(parse("{1.5,NaN,-Infinity}", Element::Real), Some(json!([1.5, "NaN", "-Infinity"])));
        assert_eq!(parse("{9223372036854775807}", Element::Integer), Some(json!(["9223372036854775807"])));
        assert_eq!(parse(r#"{"{\"a\": [1, 2.50]}"}"#, Element::Json), Some(json!([{"a": [1, 2.5]}])));
        // A bracket inside of a text is no bounds.
        assert_eq!(parse("{[0:1]=x}", Element::Text), Some(json!(["[0:1]=x"])));
    }
}
