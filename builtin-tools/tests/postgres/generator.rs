//! Makes statements out of a grammar and a seed: queries over the shop in every form that PostgreSQL has, with something hostile
//! in many of them, whole statements that are none, and cut and joined ones. The grammar's words are in `generator/*.txt`, a
//! section for each symbol (`«int»` stands for an expression of that type); its shape is here and in `query.rs`.
//! The paths are written out because unit tests of the crate take this file in too.

#[path = "generator/dice.rs"]
mod dice;
#[path = "generator/noise.rs"]
mod noise;
#[path = "generator/query.rs"]
mod query;

use std::collections::HashMap;

pub(crate) use dice::Dice;

const READS: &str = include_str!("generator/reads.txt");
const HOSTILE: &str = include_str!("generator/hostile.txt");

/// The most that one statement may spend on expressions and queries before it has to end.
const BUDGET: usize = 40;
/// The deepest that queries stand in queries.
const DEPTH_MAX: usize = 4;

/// The types of expressions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Type {
    Int,
    Text,
    Bool,
    Numeric,
    Time,
    Json,
    Texts,
}

const TYPES: [Type; 7] = [Type::Int, Type::Text, Type::Bool, Type::Numeric, Type::Time, Type::Json, Type::Texts];

impl Type {
    const fn name(self) -> &'static str {
        match self {
            Self::Int => "int",
            Self::Text => "text",
            Self::Bool => "bool",
            Self::Numeric => "numeric",
            Self::Time => "time",
            Self::Json => "json",
            Self::Texts => "texts",
        }
    }
}

/// A column that an expression may name.
#[derive(Debug, Clone)]
struct Column {
    /// What it stands in: an alias or a table.
    of: String,
    name: String,
    is: Type,
}

/// A common table expression that a query may read.
#[derive(Debug, Clone)]
struct Common {
    name: String,
    columns: Vec<(String, Type)>,
}

/// What hostile statements would reach.
pub(crate) struct Place {
    /// A folder that the server may write to.
    pub(crate) scratch: String,
    /// The server itself, as one of its functions would connect to it.
    pub(crate) connection: String,
}

/// Makes statements, the same ones for the same seed.
pub(crate) struct Generator {
    dice: Dice,
    rules: HashMap<&'static str, Vec<&'static str>>,
    corpus: Vec<String>,
    place: Place,
    /// Of 1,000 places where something hostile may stand, so many have it.
    spice: usize,
    budget: usize,
    depth: usize,
    /// Aliases made so far in this statement.
    aliases: usize,
    /// Columns in sight, the innermost query's last.
    scopes: Vec<Vec<Column>>,
    commons: Vec<Common>,
}

impl Generator {
    /// `corpus` has statements to cut and join.
    pub(crate) fn new(dice: Dice, place: Place, corpus: Vec<String>) -> Self {
        let mut rules = HashMap::new();
        for section in [READS, HOSTILE].iter().flat_map(|file| file.trim_start_matches("=== ").split("\n=== ")) {
            let (name, lines) = section.split_once('\n').unwrap();
            rules.insert(name, lines.lines().filter(|line| !line.is_empty()).collect());
        }
        Self {
            dice,
            rules,
            corpus,
            place,
            spice: 0,
            budget: 0,
            depth: 0,
            aliases: 0,
            scopes: Vec::new(),
            commons: Vec::new(),
        }
    }

    /// The next statement.
    pub(crate) fn statement(&mut self) -> String {
        let sql = match self.dice.below(100) {
            0..45 => self.plain(0),
            45..70 => self.plain(25),
            70..80 => self.begin(0).rule("statement hostile"),
            80..95 => self.spliced(),
            95..97 => self.plain(0) + &self.begin(0).rule("tail hostile"),
            _ => self.deep(),
        };
        if self.dice.percent(45) { noise::disguise(&mut self.dice, &sql) } else { sql }
    }

    fn begin(&mut self, spice: usize) -> &mut Self {
        self.spice = spice;
        self.budget = 2 + self.dice.below(BUDGET);
        (self.depth, self.aliases) = (0, 0);
        self.scopes.clear();
        self.commons.clear();
        self
    }

    fn plain(&mut self, spice: usize) -> String {
        self.begin(spice);
        let query = self.any_query();
        match self.dice.below(24) {
            0 => format!("EXPLAIN {query}"),
            1 => format!("EXPLAIN (COSTS off, FORMAT {}) {query}", self.dice.pick(&["json", "TEXT", "yaml"])),
            2 => format!("explain verbose {query}"),
            3 => format!("({query})"),
            4 => self.rule("whole"),
            _ => query,
        }
    }

    fn spliced(&mut self) -> String {
        let mut texts = [self.plain(0), self.begin(0).rule("statement hostile")];
        for text in &mut texts {
            if !self.corpus.is_empty() && self.dice.percent(70) {
                text.clone_from(self.dice.point(&self.corpus));
            }
        }
        let mut sql = noise::splice(&mut self.dice, &texts[0], &texts[1]);
        while self.dice.percent(30) {
            sql = noise::splice(&mut self.dice, &sql, &texts[0]);
        }
        sql
    }

    /// The same construct in itself, often near the caps and sometimes beyond them.
    fn deep(&mut self) -> String {
        self.begin(0);
        let most = self.dice.pick(&[20, 60, 190, 260]);
        let times = 1 + self.dice.below(most);
        let (open, inner, close) = self.dice.pick(&[
            ("(", "1", ")"),
            ("- ", "1", ""),
            ("NOT ", "true", ""),
            ("1 + ", "1", ""),
            ("1 - (", "1", ")"),
            ("CASE WHEN true THEN ", "1", " END"),
            ("(SELECT ", "1", ")"),
            ("ARRAY[", "1", "]"),
            ("coalesce(", "1", ", 2)"),
            ("'a' || ", "'b'", ""),
            ("true AND ", "true", ""),
            ("", "'1'", "::text"),
            ("CAST(", "1", " AS int)"),
            ("1 IN (", "1", ")::int"),
            ("(", "app.count_up()", ")"),
            ("- ", "app.count_up()", ""),
        ]);
        let expression = format!("{}{inner}{}", open.repeat(times), close.repeat(times));
        match self.dice.below(4) {
            0 => format!("{}SELECT 1{}", "SELECT * FROM (".repeat(times), ") AS q".repeat(times)),
            1 => format!("SELECT 1{}", " UNION ALL SELECT 2".repeat(times)),
            _ => format!("SELECT {expression}"),
        }
    }

    /// One of a section, with its symbols replaced.
    fn rule(&mut self, name: &str) -> String {
        let one = self.dice.pick(&self.rules[name]);
        self.expand(one)
    }

    fn expand(&mut self, template: &str) -> String {
        let mut out = String::with_capacity(template.len() * 2);
        let mut rest = template;
        while let Some((before, after)) = rest.split_once('«') {
            let (symbol, after) = after.split_once('»').unwrap();
            out.push_str(before);
            out.push_str(&self.symbol(symbol));
            rest = after;
        }
        out + rest
    }

    fn symbol(&mut self, symbol: &str) -> String {
        if let Some(of) = TYPES.into_iter().find(|of| of.name() == symbol) {
            return self.expression(of);
        }
        match symbol {
            "nothing" => String::new(),
            "newline" => "\n".into(),
            "return" => "\r".into(),
            "nul" => "\0".into(),
            "scratch" => self.place.scratch.clone(),
            "connection" => self.place.connection.clone(),
            "small" => self.dice.below(5).to_string(),
            "literal" => noise::text(&mut self.dice),
            "query" => self.any_query(),
            "query-int" => self.query(&[Type::Int]),
            "query-text" => self.query(&[Type::Text]),
            "subquery-int" => self.scalar(Type::Int),
            "subquery-text" => self.scalar(Type::Text),
            other => self.rule(other),
        }
    }

    fn spiced(&mut self) -> bool {
        self.dice.below(1000) < self.spice
    }

    fn expression(&mut self, of: Type) -> String {
        if self.spiced() {
            return self.rule(&format!("{} hostile", of.name()));
        }
        if self.budget == 0 || self.dice.percent(45) {
            return self.column(of).unwrap_or_else(|| self.rule(&format!("{} leaf", of.name())));
        }
        self.budget -= 1;
        self.rule(of.name())
    }

    /// A column of that type that is in sight, as it may be written.
    fn column(&mut self, of: Type) -> Option<String> {
        let outer = self.dice.percent(15);
        let scopes: &[Vec<Column>] =
            if outer { &self.scopes } else { self.scopes.last().map_or(&[], std::slice::from_ref) };
        let fitting: Vec<&Column> = scopes.iter().flatten().filter(|column| column.is == of).collect();
        if fitting.is_empty() || self.dice.percent(20) {
            return None;
        }
        let column = self.dice.pick(&fitting);
        let name = noise::name(&mut self.dice, &column.name);
        let table = ["products", "orders", "order_items"].contains(&column.of.as_str());
        Some(match self.dice.below(20) {
            0 => name,
            1 if table => format!("app.{}.{name}", column.of),
            2 => format!("{} . {name}", column.of),
            _ => format!("{}.{name}", column.of),
        })
    }
}
