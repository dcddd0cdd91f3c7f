//! The shape of generated queries: set operations, common table expressions, FROM with its joins and functions, grouping,
//! windows, and what may stand at the end.

use super::{Column, Common, DEPTH_MAX, Generator, TYPES, Type, noise};

/// The listed tables with their columns.
const TABLES: [(&str, &[(&str, Type)]); 3] = [
    (
        "products",
        &[
            ("id", Type::Int),
            ("sku", Type::Text),
            ("name", Type::Text),
            ("category", Type::Text),
            ("price_cents", Type::Int),
            ("stock", Type::Int),
            ("created_at", Type::Time),
            ("attributes", Type::Json),
            ("tags", Type::Texts),
        ],
    ),
    (
        "orders",
        &[
            ("id", Type::Int),
            ("customer", Type::Text),
            ("city", Type::Text),
            ("status", Type::Text),
            ("note", Type::Text),
            ("created_at", Type::Time),
            ("updated_at", Type::Time),
            ("created_by", Type::Text),
            ("deleted", Type::Bool),
        ],
    ),
    (
        "order_items",
        &[("order_id", Type::Int), ("product_id", Type::Int), ("quantity", Type::Int), ("price_cents", Type::Int)],
    ),
];

/// Names of common table expressions; some are those of tables, listed and not.
const COMMONS: [&str; 9] = ["recent", "totals", "c", "orders", "products", "creds", "vault", "pg_class", "lower"];

/// Something in FROM: its text, and what it brings into sight.
type Relation = (String, Vec<Column>);

impl Generator {
    /// A query of some columns.
    pub(super) fn any_query(&mut self) -> String {
        let types = self.types(4);
        self.query(&types)
    }

    /// One to `most` types.
    fn types(&mut self, most: usize) -> Vec<Type> {
        let count = 1 + self.dice.below(most);
        (0..count).map(|_| self.dice.pick(&TYPES)).collect()
    }

    /// A query with columns of these types, named `c1` and so on.
    pub(super) fn query(&mut self, types: &[Type]) -> String {
        self.depth += 1;
        self.budget = self.budget.saturating_sub(1);
        let simple = self.depth > DEPTH_MAX || self.budget == 0;
        let sql = match self.dice.below(20) {
            _ if simple => self.select(types),
            0 => self.united(types),
            1 => self.united(types) + " ORDER BY 1",
            2 => self.values(types),
            3..6 => self.with_commons(types),
            6 => self.recursive(types),
            _ => self.select(types),
        };
        self.depth -= 1;
        if self.spiced() { sql + &self.rule("tail hostile") } else { sql }
    }

    /// A query of one value in parentheses.
    pub(super) fn scalar(&mut self, of: Type) -> String {
        if self.depth > DEPTH_MAX || self.budget == 0 {
            return self.rule(&format!("{} leaf", of.name()));
        }
        self.depth += 1;
        self.scopes.push(Vec::new());
        let from = self.from();
        let value = self.rule(&format!("{} aggregate", of.name()));
        self.scopes.pop();
        self.depth -= 1;
        format!("(SELECT {value}{from})")
    }

    fn united(&mut self, types: &[Type]) -> String {
        let how = self.dice.pick(&["UNION", "UNION ALL", "INTERSECT", "EXCEPT", "UNION DISTINCT", "EXCEPT ALL"]);
        let [one, other] = [(); 2].map(|()| self.select(types));
        match self.dice.below(3) {
            0 => format!("({one}) {how} ({other})"),
            1 => {
                let then = self.dice.pick(&["UNION", "INTERSECT"]);
                format!("({one}) {how} ({other}) {then} ({})", self.select(types))
            }
            _ => {
                // Without parentheses an ORDER BY or a LIMIT would belong to the whole.
                let [one, other] = [(); 2].map(|()| self.bare(types));
                format!("{one} {how} {other}")
            }
        }
    }

    fn values(&mut self, types: &[Type]) -> String {
        let scopes = std::mem::take(&mut self.scopes);
        let count = 1 + self.dice.below(3);
        let rows: Vec<String> = (0..count)
            .map(|_| types.iter().map(|of| self.expression(*of)).collect::<Vec<_>>().join(", "))
            .map(|row| format!("({row})"))
            .collect();
        self.scopes = scopes;
        format!("VALUES {}", rows.join(", "))
    }

    fn with_commons(&mut self, types: &[Type]) -> String {
        let before = self.commons.len();
        let mut parts = Vec::new();
        let count = 1 + self.dice.below(2);
        for _ in 0..count {
            let name = self.dice.pick(&COMMONS).to_owned();
            if self.commons[before..].iter().any(|common| common.name == name) {
                continue;
            }
            let of = self.types(2);
            let scopes = std::mem::take(&mut self.scopes);
            let query = self.query(&of);
            self.scopes = scopes;
            let how = self.dice.pick(&["AS", "AS", "AS MATERIALIZED", "AS NOT MATERIALIZED"]);
            let columns: Vec<(String, Type)> =
                of.iter().enumerate().map(|(n, of)| (format!("k{}", n + 1), *of)).collect();
            let names = columns.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>().join(", ");
            parts.push(format!("{}({names}) {how} ({query})", noise::name(&mut self.dice, &name)));
            self.commons.push(Common { name, columns });
        }
        let query = self.select(types);
        self.commons.truncate(before);
        format!("WITH {} {query}", parts.join(", "))
    }

    fn recursive(&mut self, types: &[Type]) -> String {
        let name = self.dice.pick(&["r", "tree", "orders", "creds"]);
        let before = self.commons.len();
        let columns = vec![("n".to_owned(), Type::Int), ("t".to_owned(), Type::Text)];
        self.commons.push(Common { name: name.to_owned(), columns });
        let query = self.select(types);
        self.commons.truncate(before);
        let scopes = std::mem::take(&mut self.scopes);
        let first = self.rule("text leaf");
        self.scopes = scopes;
        let all = self.dice.pick(&["ALL ", ""]);
        format!(
            "WITH RECURSIVE {name}(n, t) AS (SELECT 1, ({first})::text UNION {all}SELECT n + 1, t FROM {name} WHERE n < 4) {query}"
        )
    }

    fn select(&mut self, types: &[Type]) -> String {
        let sql = self.bare(types);
        let end = self.rule("end");
        if self.dice.percent(50) { sql + &end } else { sql }
    }

    /// SELECT without ORDER BY and LIMIT.
    fn bare(&mut self, types: &[Type]) -> String {
        self.scopes.push(Vec::new());
        let from = if self.dice.percent(88) { self.from() } else { String::new() };
        let filter =
            if self.dice.percent(50) && !from.is_empty() { self.expand(" WHERE «bool»") } else { String::new() };
        let sql = match self.dice.below(10) {
            0..2 if !from.is_empty() => self.grouped(types, &from, &filter),
            2 if !from.is_empty() => self.windowed(types, &from, &filter),
            _ => {
                let items = self.items(types, Self::expression);
                let distinct = self.dice.pick(&["", "", "", "", "", "", "DISTINCT ", "ALL ", "DISTINCT ON (1) "]);
                format!("SELECT {distinct}{items}{from}{filter}")
            }
        };
        self.scopes.pop();
        sql
    }

    fn items(&mut self, types: &[Type], mut one: impl FnMut(&mut Self, Type) -> String) -> String {
        let mut items = Vec::new();
        for (n, of) in types.iter().enumerate() {
            let item = one(self, *of);
            // An alias without AS would be part of an operator at the end of some expressions.
            items.push(format!("{item} AS {}", noise::name(&mut self.dice, &format!("c{}", n + 1))));
        }
        items.join(", ")
    }

    fn grouped(&mut self, types: &[Type], from: &str, filter: &str) -> String {
        let mut keys = Vec::new();
        let items = self.items(types, |this, of| {
            if this.dice.percent(50) {
                keys.push(keys.len() + 1);
                return this.expression(of);
            }
            keys.push(0);
            this.rule(&format!("{} aggregate", of.name()))
        });
        // The places in the list of those that are keys.
        let keys: Vec<String> =
            keys.iter().enumerate().filter(|(_, key)| **key > 0).map(|(n, _)| (n + 1).to_string()).collect();
        let list = keys.join(", ");
        let group = match self.dice.below(6) {
            _ if keys.is_empty() => String::new(),
            0 => format!(" GROUP BY ROLLUP ({list})"),
            1 => format!(" GROUP BY CUBE ({list})"),
            2 => format!(" GROUP BY GROUPING SETS (({list}), ())"),
            _ => format!(" GROUP BY {list}"),
        };
        let having = if self.dice.percent(30) { self.expand(" HAVING «bool aggregate»") } else { String::new() };
        format!("SELECT {items}{from}{filter}{group}{having}")
    }

    fn windowed(&mut self, types: &[Type], from: &str, filter: &str) -> String {
        let items =
            self.items(types, |this, of| if of == Type::Int { this.rule("windowed") } else { this.expression(of) });
        let window = self.expand("PARTITION BY «text» ORDER BY «int»");
        format!("SELECT {items}{from}{filter} WINDOW w AS ({window})")
    }

    /// FROM with one to three things; afterwards their columns are in sight.
    fn from(&mut self) -> String {
        let (mut text, mut seen) = self.relation();
        let more = self.dice.pick(&[0, 0, 0, 1, 1, 2]);
        for _ in 0..more {
            let lateral = self.dice.percent(20);
            if lateral {
                *self.scopes.last_mut().unwrap() = seen.clone();
            }
            let (other, columns) = if lateral { self.lateral() } else { self.relation() };
            let (left, right) = (seen.first().map(Self::full), columns.first().map(Self::full));
            seen.extend(columns);
            let scope = self.scopes.last_mut().unwrap();
            scope.clone_from(&seen);
            let joined = match self.dice.below(8) {
                0 => format!(" CROSS JOIN {other}"),
                1 => self.expand(" JOIN RELATION ON «bool»"),
                2 => self.expand(" LEFT JOIN RELATION ON «bool»"),
                3 => self.expand(" LEFT OUTER JOIN RELATION ON (true)"),
                4 if !lateral && left.is_some() && right.is_some() => {
                    format!(" FULL JOIN RELATION ON {} = {}", left.unwrap(), right.unwrap())
                }
                5 if !lateral => " NATURAL JOIN RELATION".to_owned(),
                6 => self.expand(" INNER JOIN RELATION ON «int» = «int»"),
                _ => ", RELATION".to_owned(),
            };
            text += &joined.replace("RELATION", &other);
            self.scopes.last_mut().unwrap().clear();
        }
        self.scopes.last_mut().unwrap().extend(seen);
        format!(" FROM {text}")
    }

    fn full(column: &Column) -> String {
        format!("{}.{}", column.of, column.name)
    }

    fn alias(&mut self) -> String {
        self.aliases += 1;
        format!("t{}", self.aliases)
    }

    fn relation(&mut self) -> Relation {
        if self.spiced() {
            let text = self.rule("relation hostile");
            let alias = self.alias();
            return (if text.contains(" AS ") { text } else { format!("{text} AS {alias}") }, Vec::new());
        }
        match self.dice.below(14) {
            0 if self.depth <= DEPTH_MAX => self.derived(""),
            1 => self.listed_values(),
            2..4 => self.function(),
            4..7 if !self.commons.is_empty() => self.common(),
            _ => self.table(),
        }
    }

    fn lateral(&mut self) -> Relation {
        match self.dice.below(3) {
            0 => self.function(),
            1 => {
                let (text, columns) = self.function();
                (format!("LATERAL {text}"), columns)
            }
            _ => self.derived("LATERAL "),
        }
    }

    fn derived(&mut self, before: &str) -> Relation {
        let types = self.types(2);
        let query = self.query(&types);
        let alias = self.alias();
        let names: Vec<String> = (1..=types.len()).map(|n| format!("d{n}")).collect();
        let text = format!("{before}({query}) AS {alias} ({})", names.join(", "));
        let columns = brought(&alias, names.iter().map(String::as_str).zip(types));
        (text, columns)
    }

    fn listed_values(&mut self) -> Relation {
        let types = [self.dice.pick(&TYPES), Type::Int];
        let values = self.values(&types);
        let alias = self.alias();
        (format!("({values}) AS {alias} (v, w)"), brought(&alias, ["v", "w"].into_iter().zip(types)))
    }

    fn function(&mut self) -> Relation {
        let alias = self.alias();
        let (template, columns): (&str, &[(&str, Type)]) = self.dice.pick(FUNCTIONS);
        let text = self.expand(template).replace("ALIAS", &alias);
        (text, brought(&alias, columns.iter().copied()))
    }

    fn common(&mut self) -> Relation {
        let common = self.dice.point(&self.commons).clone();
        let alias = self.alias();
        let name = noise::name(&mut self.dice, &common.name);
        let columns = common.columns.iter().map(|(name, of)| (name.as_str(), *of));
        (format!("{name} AS {alias}"), brought(&alias, columns))
    }

    fn table(&mut self) -> Relation {
        let (table, columns) = self.dice.pick(&TABLES);
        let hidden = self.commons.iter().any(|common| common.name == table);
        let written = noise::name(&mut self.dice, table);
        let text = match self.dice.below(6) {
            0..2 if !hidden => written,
            2 => format!("\"app\".{written}"),
            3 => format!("ONLY app.{written}"),
            4 => format!("App.{written}"),
            _ => format!("app.{written}"),
        };
        // Two of one name in one FROM would be an error, and so the bare name is rare.
        if self.dice.percent(25) {
            return (text, brought(table, columns.iter().copied()));
        }
        let alias = self.alias();
        let between = self.dice.pick(&[" AS ", " "]);
        (format!("{text}{between}{alias}"), brought(&alias, columns.iter().copied()))
    }
}

/// Functions that stand in FROM.
const FUNCTIONS: &[(&str, &[(&str, Type)])] = &[
    ("generate_series(1, 3) AS ALIAS (n)", &[("n", Type::Int)]),
    ("generate_series(1, «small») AS ALIAS(n)", &[("n", Type::Int)]),
    ("generate_series(«small», 8, 2) WITH ORDINALITY AS ALIAS(n, o)", &[("n", Type::Int)]),
    ("pg_catalog.generate_series(1, 2) AS ALIAS(n)", &[("n", Type::Int)]),
    ("generate_series(timestamptz '2024-01-01', '2024-01-03', interval '1 day') ALIAS(at)", &[("at", Type::Time)]),
    ("unnest(«texts») AS ALIAS(x)", &[("x", Type::Text)]),
    ("unnest(ARRAY[1, 2], ARRAY['a', 'b', 'c']) AS ALIAS(x, y)", &[("x", Type::Int), ("y", Type::Text)]),
    (
        "jsonb_each_text('{\"a\": 1, \"b\": \"x\"}'::jsonb) AS ALIAS(key, value)",
        &[("key", Type::Text), ("value", Type::Text)],
    ),
    ("jsonb_array_elements('[1, \"x\", null]') AS ALIAS(j)", &[("j", Type::Json)]),
    ("jsonb_object_keys('{\"a\": 1}') ALIAS(k)", &[("k", Type::Text)]),
    ("regexp_split_to_table(«text», ' ') AS ALIAS(word)", &[("word", Type::Text)]),
    ("string_to_table(«text», ',') AS ALIAS(part)", &[("part", Type::Text)]),
    (
        "ROWS FROM (generate_series(1, 2), unnest(ARRAY['a', 'b', 'c'])) AS ALIAS(a, b)",
        &[("a", Type::Int), ("b", Type::Text)],
    ),
    (
        "jsonb_to_recordset('[{\"a\": 1, \"b\": \"x\"}]') AS ALIAS(a int, b text)",
        &[("a", Type::Int), ("b", Type::Text)],
    ),
];

fn brought<'a>(of: &str, columns: impl Iterator<Item = (&'a str, Type)>) -> Vec<Column> {
    columns.map(|(name, is)| Column { of: of.to_owned(), name: name.to_owned(), is }).collect()
}
