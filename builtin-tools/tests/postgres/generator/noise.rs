//! How the same thing can be written: literals and names in every quoting, white space, comments, letter case, and statements
//! cut and joined at places where no grammar would.

use super::dice::Dice;

/// Texts in every quoting that PostgreSQL knows, with what another lexer may stumble over.
const TEXTS: &[&str] = &[
    "'Utrecht'",
    "'open'",
    "'drop shipping'",
    "'it''s'",
    "''",
    "'a'",
    "'%a%'",
    "';'",
    "'--'",
    "'/*'",
    "'*/ DROP TABLE x'",
    "'DELETE FROM app.orders'",
    "'a\\'",
    "'\\'",
    "'\"'",
    "'$1'",
    "'$$'",
    "'?'",
    "':name'",
    "'\u{fc}n\u{ef}code \u{1f600}'",
    "E'tab\\tx'",
    "E'quote\\'s'",
    "E'back\\\\slash'",
    "E'\\x41\\u0042'",
    "E''",
    "E'\\\\'",
    "e'a\\nb'",
    "E'it''s'",
    "U&'d\\0061ta'",
    "U&'d!0061ta' UESCAPE '!'",
    "$$dollar$$",
    "$$it's$$",
    "$tag$ a;b $$ c $tag$",
    "$a$--$a$",
    "N'national'",
    "'two '\n  'parts'",
    "'two' -- part\n 'three'",
    "text 'typed'",
    "varchar 'typed'",
    "'x'::text",
    "CAST('x' AS text)",
    "'line\nbreak'",
    "'\u{a0}'",
    "'null'",
    "'true'",
    "'\u{2019}; DROP TABLE app.orders'",
    "E'\\'; DROP TABLE app.orders; --'",
];

/// White space and comments that may stand between two words.
const GAPS: &[&str] = &[
    " ",
    "  ",
    "\n",
    "\t",
    "\r\n",
    " \x0c ",
    "/**/",
    " /* x */ ",
    "/* a /* nested */ b */",
    " -- to the end\n",
    "/*;*/",
    " /* ' */ ",
    " -- '\n",
    "/* \" */",
    " /* $$ */ ",
    "/*--*/",
    " --/*\n",
    "\n\n",
];

/// Comments that hide, or seem to hide, a second statement.
const HIDING: &[&str] = &[
    "/* ; DROP TABLE app.orders; */",
    "-- ; DROP TABLE app.orders\n",
    "/* /* */ ; DROP TABLE app.orders; */",
    "/*! ; DROP TABLE app.orders; */",
    "--\r; DROP TABLE app.orders\n",
    "# ; DROP TABLE app.orders\n",
];

pub(super) fn text(dice: &mut Dice) -> String {
    dice.pick(TEXTS).to_owned()
}

/// A name as it may be written: plain, in other case, or quoted.
pub(super) fn name(dice: &mut Dice, name: &str) -> String {
    let plain = name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_');
    match dice.below(60) {
        0..5 if plain => name.to_ascii_uppercase(),
        5..10 if plain => any_case(dice, name),
        10..15 => format!("\"{name}\""),
        15 if name.len() > 2 && plain => {
            let (first, rest) = name.split_at(1);
            format!("U&\"\\{:04x}{rest}\"", u32::from(first.as_bytes()[0]))
        }
        _ => name.to_owned(),
    }
}

fn any_case(dice: &mut Dice, text: &str) -> String {
    text.chars().map(|c| if dice.percent(50) { c.to_ascii_uppercase() } else { c.to_ascii_lowercase() }).collect()
}

/// Puts other gaps, comments and letter case into a statement, where it stays the same statement.
pub(super) fn disguise(dice: &mut Dice, sql: &str) -> String {
    let mut out = String::with_capacity(sql.len() * 2);
    for piece in pieces(sql) {
        match piece {
            Piece::Gap => out.push_str(if dice.percent(30) { dice.pick(GAPS) } else { " " }),
            Piece::Word(word) if dice.percent(20) => out.push_str(&any_case(dice, word)),
            Piece::Word(other) | Piece::Other(other) => out.push_str(other),
        }
    }
    match dice.below(12) {
        0 => out.push(';'),
        1 => out.push_str(" ;  -- done"),
        2 => out.insert_str(0, dice.pick(HIDING)),
        3 => out.push_str(dice.pick(HIDING)),
        4 => out.insert_str(0, dice.pick(GAPS)),
        _ => {}
    }
    out
}

enum Piece<'a> {
    /// One space between two words.
    Gap,
    /// A word outside of quotes.
    Word(&'a str),
    /// Anything else, quoted text among it.
    Other(&'a str),
}

/// Cuts into words, gaps and the rest. What is quoted, and everything after a sign that quotes in a way that this does not
/// read (dollars, backslashes, comments), stays in one piece.
fn pieces(sql: &str) -> Vec<Piece<'_>> {
    let mut pieces = Vec::new();
    let mut rest = sql;
    while let Some(first) = rest.chars().next() {
        let length = match first {
            '\'' | '"' => rest[1..].find(first).map_or(rest.len(), |end| end + 2),
            '$' | '\\' | '-' | '/' => rest.len(),
            c if c.is_ascii_alphabetic() || c == '_' => {
                rest.find(|c: char| !(c.is_ascii_alphanumeric() || c == '_')).unwrap_or(rest.len())
            }
            _ => first.len_utf8(),
        };
        let (piece, after) = rest.split_at(length);
        // A letter before a quote changes what the quotes mean.
        let prefix = after.starts_with('\'') || after.starts_with("&");
        pieces.push(match first {
            ' ' => Piece::Gap,
            c if c.is_ascii_alphabetic() && !prefix => Piece::Word(piece),
            _ if prefix && piece.len() == 1 => {
                pieces.push(Piece::Other(rest));
                return pieces;
            }
            _ => Piece::Other(piece),
        });
        rest = after;
    }
    pieces
}

/// One statement of two, or one with a piece less, twice, or somewhere else.
pub(super) fn splice(dice: &mut Dice, one: &str, other: &str) -> String {
    let (begin, end) = (cut(dice, one), cut(dice, other));
    match dice.below(7) {
        0 => format!("{}{}", &one[..begin], &other[end..]),
        1 => format!("{} {}", &one[..begin], other),
        2 => format!("{} ({}) {}", &one[..begin], other.trim_end_matches(';'), &one[begin..]),
        3 => {
            let again = cut(dice, one);
            let (from, to) = (begin.min(again), begin.max(again));
            format!("{}{}", &one[..from], &one[to..])
        }
        4 => {
            let again = cut(dice, one);
            let (from, to) = (begin.min(again), begin.max(again));
            format!("{}{}{}", &one[..to], &one[from..to], &one[to..])
        }
        5 => format!("{}{}{}", &one[..begin], dice.pick(GAPS), &one[begin..]),
        _ => format!("{}{}{}", &one[..begin], dice.pick(SIGNS), &one[begin..]),
    }
}

/// Signs and words that change what is around them.
const SIGNS: &[&str] = &[
    "'",
    "\"",
    "$$",
    ";",
    "--",
    "/*",
    "*/",
    "(",
    ")",
    "[",
    "]",
    "\\",
    "E",
    "U&",
    "::",
    ".",
    ",",
    "*",
    " INTO evil ",
    " FOR UPDATE ",
    " ANALYZE ",
    " NOT ",
    " - ",
    " + ",
    " ~ ",
    " @ ",
    " ! ",
    " # ",
    "?",
    "$1",
    ":",
    "\u{a0}",
    "\u{feff}",
    " OPERATOR(app.===) ",
    " COLLATE \"C\" ",
    " AS ",
    " ONLY ",
    " LATERAL ",
    " RETURNING * ",
    " UNION ",
    " := 1 ",
    " => ",
    "1e",
    "0x1F",
    "1_000",
    "1.",
    ".5",
    "B'01'",
    "X'1F'",
    " IS ",
    " TABLE ",
    " ALL ",
    " VARIADIC ",
    " WITH ORDINALITY ",
];

/// Somewhere in the text, mostly between two words.
fn cut(dice: &mut Dice, text: &str) -> usize {
    let gaps: Vec<usize> = text.char_indices().filter(|(_, c)| c.is_whitespace()).map(|(at, _)| at).collect();
    if !gaps.is_empty() && dice.percent(80) {
        return dice.pick(&gaps);
    }
    let mut at = dice.below(text.len() + 1);
    while !text.is_char_boundary(at) {
        at -= 1;
    }
    at
}
