//! Which of the layers around a caller's statement are on. All of them always are: there is no way to make a [`Layers`] with
//! one missing outside of this crate's tests, which switch the others off to prove each alone.

/// A layer that a test can do without.
#[cfg(test)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Layer {
    /// The judge; the caller's text runs as it is, as a query.
    Judge,
    /// The query around the caller's query; its text runs by itself.
    Wrapper,
    /// The length of a cell, cut by the database.
    Cut,
    /// The count of bytes that come in.
    Count,
    /// The database's own time-out for a statement.
    StatementTimeout,
    /// The read-only transaction.
    ReadOnly,
    /// The look at the role's rights.
    Probe,
}

/// The layers that are on.
#[derive(Debug, Clone, Default)]
pub(crate) struct Layers {
    #[cfg(test)]
    off: Vec<Layer>,
}

macro_rules! layers {
    ($($(#[$doc:meta])* $name:ident: $layer:ident;)*) => {
        impl Layers {
            $($(#[$doc])*
            pub(crate) fn $name(&self) -> bool {
                #[cfg(test)]
                return !self.off.contains(&Layer::$layer);
                #[cfg(not(test))]
                true
            })*
        }
    };
}

layers! {
    /// Whether statements are judged.
    #[cfg(test)]
    judge: Judge;
    /// Whether a query runs inside one of ours.
    wrapper: Wrapper;
    /// Whether the database cuts long cells.
    cut: Cut;
    /// Whether incoming bytes are bounded.
    count: Count;
    /// Whether the database ends statements that take long.
    statement_timeout: StatementTimeout;
    /// Whether transactions only read.
    read_only: ReadOnly;
    /// Whether the role's rights are looked at.
    probe: Probe;
}

#[cfg(test)]
impl Layers {
    /// All but these.
    pub(crate) fn without(off: &[Layer]) -> Self {
        Self { off: off.to_vec() }
    }
}
