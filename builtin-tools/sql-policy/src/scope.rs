//! Which names of WITH are in sight, by PostgreSQL's rules, and how PostgreSQL folds names. A name that is thought to be
//! in sight and is not would be looked up in pg_catalog, so names of WITH may not begin like those of the catalog.

use sqlparser::ast::Ident;

/// A name as PostgreSQL has it after reading: without quotes as it is, else in lower case, of ASCII alone.
pub(crate) fn fold(name: &Ident) -> String {
    match name.quote_style {
        Some(_) => name.value.clone(),
        None => name.value.to_ascii_lowercase(),
    }
}

/// The names of WITH that are in sight, the outermost query's first.
#[derive(Default)]
pub(crate) struct Scope {
    names: Vec<String>,
}

/// How far the scope reached when a query began.
#[derive(Clone, Copy)]
pub(crate) struct Mark(usize);

impl Scope {
    pub(crate) fn mark(&self) -> Mark {
        Mark(self.names.len())
    }

    /// Everything that came since then is out of sight.
    pub(crate) fn leave(&mut self, mark: Mark) {
        self.names.truncate(mark.0);
    }

    pub(crate) fn enter(&mut self, name: String) {
        self.names.push(name);
    }

    /// Only a name without a schema can mean a query of WITH.
    pub(crate) fn holds(&self, name: &str) -> bool {
        self.names.iter().any(|known| known == name)
    }
}
