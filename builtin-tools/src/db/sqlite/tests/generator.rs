//! Makes SQL of a grammar: mostly queries that are right, with hidden tables, functions with reach and writes in every place where the
//! grammar lets one stand. The same seed makes the same statements.

/// A sequence of numbers that looks like chance (SplitMix64).
#[derive(Debug)]
pub(super) struct Chance(u64);

impl Chance {
    pub(super) const fn new(seed: u64) -> Self {
        Self(seed)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, end: usize) -> usize {
        (self.next() % end as u64) as usize
    }

    fn of<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[self.below(choices.len())]
    }

    /// Once in so many times.
    fn once_in(&mut self, times: usize) -> bool {
        self.below(times) == 0
    }
}

/// A table and some of its columns.
type Table = (&'static str, &'static [&'static str]);

const OFFERED: &[Table] = &[
    ("products", &["id", "name", "category", "stock", "rowid"]),
    ("main.products", &["id", "sku", "price_cents", "updated_at"]),
    ("\"Orders\"", &["id", "customer", "note", "\"status\"", "[created_at]"]),
    ("order_items", &["order_id", "product_id", "quantity"]),
    ("order_totals", &["id", "customer", "pieces"]),
    ("json_each('[1, {\"a\": 2}, null]')", &["key", "value", "type"]),
];
const HIDDEN: &[Table] = &[
    ("secrets", &["id", "name", "stock"]),
    ("main.\"Secrets\"", &["id", "name", "rowid"]),
    ("secret_view", &["id", "name"]),
    ("lent_view", &["id", "name"]),
    ("json_tree", &["id", "name"]),
    ("search", &["name", "rowid"]),
    ("search_content", &["id", "c0"]),
    ("sqlite_schema", &["name", "sql"]),
    ("temp.sqlite_schema", &["name", "sql"]),
    ("sqlite_stat1", &["tbl", "stat"]),
    ("pragma_database_list", &["name", "file"]),
    ("pragma_table_info('secrets')", &["name", "type"]),
    ("dbstat", &["name", "path"]),
    ("nowhere", &["id"]),
];
const FUNCTIONS: &[(&str, usize)] = &[
    ("abs", 1),
    ("length", 1),
    ("upper", 1),
    ("coalesce", 2),
    ("ifnull", 2),
    ("min", 2),
    ("max", 3),
    ("hex", 1),
    ("typeof", 1),
    ("quote", 1),
    ("json_array", 2),
    ("json_object", 2),
    ("replace", 3),
    ("substr", 2),
    ("instr", 2),
    ("trim", 1),
    ("nullif", 2),
    ("iif", 3),
    ("date", 1),
    ("like", 2),
    ("round", 1),
    ("json_quote", 1),
    ("unicode", 1),
];
const AGGREGATES: &[&str] = &[
    "count",
    "sum",
    "total",
    "avg",
    "min",
    "max",
    "group_concat",
    "json_group_array",
    "count(DISTINCT",
    "sum(DISTINCT",
];
const WINDOWS: &[&str] = &["row_number()", "rank()", "ntile(3)", "count(*)", "lag(1)", "cume_dist()", "first_value(2)"];
const REACHING: &[(&str, usize)] = &[
    ("load_extension", 1),
    ("readfile", 1),
    ("writefile", 2),
    ("zeroblob", 1),
    ("randomblob", 1),
    ("printf", 2),
    ("format", 2),
    ("fts3_tokenizer", 1),
    ("sqlite_log", 2),
    ("last_insert_rowid", 0),
    ("edit", 1),
    ("sqlite_compileoption_get", 1),
    ("changes", 0),
    ("total_changes", 0),
    ("sqlite_version", 0),
    ("match", 2),
    ("snippet", 1),
];
const WRITES: &[&str] = &[
    "DELETE FROM products",
    "UPDATE products SET stock = 0",
    "INSERT INTO order_items VALUES (1, 1, 1, 1)",
    "DROP TABLE products",
    "CREATE TEMP TABLE x (a)",
    "CREATE TABLE x AS SELECT 1",
    "ATTACH 'other.db' AS other",
    "VACUUM INTO 'copy.db'",
    "PRAGMA query_only = 0",
    "PRAGMA writable_schema(1)",
    "PRAGMA user_version = 9",
    "BEGIN",
    "COMMIT",
    "ROLLBACK",
    "SAVEPOINT s",
    "ANALYZE",
    "REINDEX",
    "ALTER TABLE products RENAME TO x",
    "CREATE TEMP VIEW v AS SELECT * FROM secrets",
    "DETACH main",
    "REPLACE INTO order_items VALUES (1, 1, 1, 1)",
    "CREATE VIRTUAL TABLE v USING fts5(x)",
    "DROP VIEW order_totals",
    "INSERT INTO orders SELECT * FROM orders WHERE 1 ON CONFLICT DO NOTHING",
    "CREATE INDEX i ON products (name)",
    "CREATE TRIGGER t AFTER INSERT ON products BEGIN SELECT 1; END",
    "DELETE FROM secrets",
    "UPDATE orders SET note = NULL RETURNING *",
];
const LITERALS: &[&str] = &[
    "1",
    "-1.5",
    "0",
    "'text'",
    "NULL",
    "x'00ff'",
    "'DROP TABLE products'",
    "TRUE",
    "'; DELETE FROM products --'",
    "'[1]'",
    "9e99",
    "'it''s'",
    "0x10",
    "/* ; */ 7",
];
const BLANKS: &[&str] = &[" ", " ", "\n", "\t", "/**/", " -- ;\n", " /* DROP */ "];

/// The next statement.
pub(super) fn statement(chance: &mut Chance) -> String {
    let mut maker = Maker { chance, ctes: Vec::new() };
    let text = match maker.chance.below(40) {
        0 | 1 => maker.chance.of(WRITES).to_owned(),
        2 => format!("{}; {}", maker.query(2, 1), maker.chance.of(WRITES)),
        3 => {
            let with = maker.with(2);
            format!("{with} {}", maker.chance.of(WRITES))
        }
        4 => format!("EXPLAIN {}", maker.query(2, 2)),
        5 => format!("EXPLAIN QUERY PLAN {}", maker.chance.of(WRITES)),
        6 | 7 => format!("EXPLAIN QUERY PLAN {}", maker.query(2, 2)),
        8..=11 => {
            let ends = maker.chance.of(&[";", ";;", "; -- end", " /* end */;", " -- end", "; /* open"]);
            format!("{}{ends}", maker.query(2, 2))
        }
        _ => {
            let columns = 1 + maker.chance.below(4);
            maker.query(3, columns)
        }
    };
    if chance.once_in(4) { spaced(chance, &text) } else { text }
}

/// Other blanks than people write, outside of quotes.
fn spaced(chance: &mut Chance, text: &str) -> String {
    let (mut made, mut quote) = (String::new(), None);
    for c in text.chars() {
        match quote {
            Some(open) if open == c => quote = None,
            None if matches!(c, '\'' | '"') => quote = Some(c),
            _ => {}
        }
        let is_free = c == ' ' && quote.is_none() && !text.contains("--") && !text.contains("/*");
        if is_free { made.push_str(chance.of(BLANKS)) } else { made.push(c) }
    }
    made
}

struct Maker<'c> {
    chance: &'c mut Chance,
    /// The names of CTEs that may be read here, and their columns.
    ctes: Vec<(&'static str, Vec<String>)>,
}

impl Maker<'_> {
    /// A query of so many columns.
    fn query(&mut self, depth: usize, columns: usize) -> String {
        let known = self.ctes.len();
        let mut text = if depth > 0 && self.chance.once_in(4) { self.with(depth - 1) + " " } else { String::new() };
        text += &self.select(depth, columns);
        if depth > 0 && self.chance.once_in(6) {
            let set = self.chance.of(&["UNION", "UNION ALL", "EXCEPT", "INTERSECT"]);
            text += &format!(" {set} {}", self.select(depth - 1, columns));
        }
        if self.chance.once_in(3) {
            text += self.chance.of(&[" ORDER BY 1", " ORDER BY 1 DESC NULLS LAST", " ORDER BY 1 COLLATE NOCASE"]);
        }
        if !self.chance.once_in(6) {
            let limit = if self.chance.once_in(12) { self.expression(0, &[]) } else { "5".to_owned() };
            text += &format!(" LIMIT {limit}");
        }
        self.ctes.truncate(known);
        text
    }

    /// A CTE, which can be read from now on; sometimes it borrows the name of a table.
    fn with(&mut self, depth: usize) -> String {
        let name = self.chance.of(&["c1", "c2", "x", "products", "secrets", "order_totals", "json_each", "dbstat"]);
        let kept = self.chance.of(&["", "", "", " MATERIALIZED", " NOT MATERIALIZED"]);
        let body = match self.chance.below(16) {
            0 => self.chance.of(WRITES).to_owned(),
            1..=3 => {
                let step = self.expression(0, &["id".to_owned(), "name".to_owned()]);
                format!("SELECT 1, 'a' UNION ALL SELECT id + 1, {step} FROM {name} WHERE id < 9 LIMIT 9")
            }
            _ => self.query(depth, 2),
        };
        self.ctes.push((name, vec!["id".to_owned(), "name".to_owned()]));
        format!("WITH {}{name}(id, name) AS{kept} ({body})", self.chance.of(&["", "RECURSIVE "]))
    }

    fn select(&mut self, depth: usize, columns: usize) -> String {
        if self.chance.once_in(12) {
            return format!("VALUES ({})", self.list(depth, columns, &[]));
        }
        let distinct = self.chance.of(&["", "", "", "DISTINCT "]);
        if self.chance.once_in(8) {
            return format!("SELECT {distinct}{}", self.list(depth, columns, &[]));
        }
        let (from, scope) = self.from(depth);
        let filter =
            if self.chance.once_in(2) { format!(" WHERE {}", self.condition(depth, &scope)) } else { String::new() };
        match self.chance.below(5) {
            0 => {
                let sums = (0..columns).map(|_| self.aggregate(&scope)).collect::<Vec<_>>().join(", ");
                let groups = self.chance.of(&["", " GROUP BY 'a'", " GROUP BY 'a' HAVING count(*) > 0"]);
                format!("SELECT {sums} FROM {from}{filter}{groups}")
            }
            1 => {
                let key = self.chance.below(scope.len());
                let numbers = (0..columns).map(|_| self.window(&scope[key])).collect::<Vec<_>>().join(", ");
                format!("SELECT {numbers} FROM {from}{filter}")
            }
            _ => format!("SELECT {distinct}{} FROM {from}{filter}", self.list(depth, columns, &scope)),
        }
    }

    fn list(&mut self, depth: usize, columns: usize, scope: &[String]) -> String {
        (0..columns).map(|_| self.expression(depth, scope)).collect::<Vec<_>>().join(", ")
    }

    fn aggregate(&mut self, scope: &[String]) -> String {
        let (name, of) = (self.chance.of(AGGREGATES), self.expression(0, scope));
        let open = if name.contains('(') { " " } else { "(" };
        match self.chance.below(6) {
            0 => "count(*)".to_owned(),
            1 => format!("{name}{open}{of}) FILTER (WHERE {})", self.condition(0, scope)),
            _ => format!("{name}{open}{of})"),
        }
    }

    fn window(&mut self, key: &str) -> String {
        let frame = self.chance.of(&[
            "",
            " ROWS 2 PRECEDING",
            " RANGE UNBOUNDED PRECEDING",
            " GROUPS 1 PRECEDING EXCLUDE TIES",
        ]);
        let part = if self.chance.once_in(3) { format!("PARTITION BY {key} ") } else { String::new() };
        let order = if self.chance.once_in(8) { self.expression(1, &[]) } else { key.to_owned() };
        format!("{} OVER ({part}ORDER BY {order}{frame})", self.chance.of(WINDOWS))
    }

    /// What is read, and the columns that it gives.
    fn from(&mut self, depth: usize) -> (String, Vec<String>) {
        let (first, mut scope) = self.table(depth, "a");
        if !self.chance.once_in(3) {
            return (first, scope);
        }
        let (second, more) = self.table(depth, "b");
        scope.extend(more);
        let text = match self.chance.below(5) {
            0 => format!("{first}, {second}"),
            1 => format!("{first} CROSS JOIN {second}"),
            _ => {
                let join = self.chance.of(&["JOIN", "LEFT JOIN", "RIGHT JOIN", "FULL JOIN"]);
                format!("{first} {join} {second} ON {}", self.condition(0, &scope))
            }
        };
        (text, scope)
    }

    fn table(&mut self, depth: usize, alias: &str) -> (String, Vec<String>) {
        let of = |(name, columns): Table| {
            let columns = columns.iter().map(|column| format!("{alias}.{column}")).collect();
            (format!("{name} AS {alias}"), columns)
        };
        match self.chance.below(24) {
            0 | 1 => of(self.chance.of(HIDDEN)),
            2..=4 if depth > 0 => {
                let name = self.chance.of(&["one", "\"two three\""]);
                let inner = self.query(depth - 1, 1);
                let text = format!("(SELECT * FROM ({inner}) AS x, (SELECT 1 AS {name})) AS {alias}");
                (text, vec![format!("{alias}.{name}")])
            }
            5..=9 if !self.ctes.is_empty() => {
                let (name, columns) = self.ctes[self.chance.below(self.ctes.len())].clone();
                (format!("{name} AS {alias}"), columns.iter().map(|column| format!("{alias}.{column}")).collect())
            }
            _ => of(self.chance.of(OFFERED)),
        }
    }

    fn expression(&mut self, depth: usize, scope: &[String]) -> String {
        if self.chance.once_in(120) {
            let (name, arguments) = self.chance.of(REACHING);
            return format!("{name}({})", self.list(0, arguments, scope));
        }
        match self.chance.below(if depth == 0 { 6 } else { 14 }) {
            0 | 1 => self.chance.of(LITERALS).to_owned(),
            2..=5 if !scope.is_empty() => scope[self.chance.below(scope.len())].clone(),
            6 => format!("({})", self.query(depth - 1, 1)),
            7 | 8 => {
                let (name, arguments) = self.chance.of(FUNCTIONS);
                format!("{name}({})", self.list(depth - 1, arguments, scope))
            }
            9 => format!(
                "CAST({} AS {})",
                self.expression(depth - 1, scope),
                self.chance.of(&["TEXT", "INT", "BLOB", "any(1, 2)"])
            ),
            10 => {
                let (when, then) = (self.condition(depth - 1, scope), self.expression(depth - 1, scope));
                format!("CASE WHEN {when} THEN {then} ELSE {} END", self.expression(depth - 1, scope))
            }
            11 | 12 => {
                let sign =
                    self.chance.of(&["+", "-", "*", "/", "%", "||", "&", "|", "<<", "IS", "<", "=", "AND", "OR"]);
                format!("({} {sign} {})", self.expression(depth - 1, scope), self.expression(depth - 1, scope))
            }
            _ => format!("{}{}", self.chance.of(&["", "-", "~", "NOT "]), self.chance.of(LITERALS)),
        }
    }

    fn condition(&mut self, depth: usize, scope: &[String]) -> String {
        match self.chance.below(if depth == 0 { 3 } else { 7 }) {
            0 => format!("{} = {}", self.expression(0, scope), self.expression(0, scope)),
            1 => self.chance.of(&["1", "TRUE", "NOT 0", "1 IS NOT NULL", "5 BETWEEN 1 AND 9"]).to_owned(),
            2 => format!("{} LIKE '%a%' ESCAPE '!'", self.expression(0, scope)),
            3 => format!("EXISTS ({})", self.query(depth - 1, 1)),
            4 => format!("{} IN ({})", self.expression(depth - 1, scope), self.query(depth - 1, 1)),
            5 => format!("{} NOT IN ({})", self.expression(depth - 1, scope), self.list(depth - 1, 2, scope)),
            _ => format!("({}, 1) > ({}, 2)", self.expression(depth - 1, scope), self.expression(depth - 1, scope)),
        }
    }
}
