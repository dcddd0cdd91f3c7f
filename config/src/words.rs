//! Words that stand in files for enums of the domain, which itself knows nothing of JSON schemas. Here are the macro that gives
//! an enum its schema, and the words that `patchbay.yaml` and tenant files share; tests hold them to what serde reads.

use schemars::JsonSchema;

/// Gives the schema of a domain enum.
macro_rules! words {
    ($($(#[$doc:meta])* $name:ident { $($(#[$word_doc:meta])* $word:ident,)+ })+) => {$(
        $(#[$doc])*
        #[derive(JsonSchema)]
        #[serde(rename_all = "snake_case")]
        #[expect(dead_code, reason = "only its schema is used")]
        pub(crate) enum $name { $($(#[$word_doc])* $word,)+ }
    )+};
}
pub(crate) use words;

words! {
    /// What a limit is counted by.
    DimensionWord {
        /// The tenant.
        Tenant,
        /// Whoever calls: an API key, or a person.
        Principal,
        /// The API key; people do not meet such a limit.
        Key,
        /// The toolset.
        Toolset,
        /// The server that a call goes to; lists do not meet such a limit.
        Server,
        /// The tool that is called; nothing else meets such a limit.
        Tool,
    }
    /// What becomes of a limit while Redis is out of reach.
    AwayWord {
        /// Each replica counts its share of it.
        Local,
        /// It refuses.
        Closed,
        /// It refuses nobody.
        Open,
    }
    /// How surely a record of the audit is kept before the answer leaves.
    LevelWord {
        /// On the disk: it survives a loss of power.
        Sync,
        /// In the spool: it survives the death of the process.
        Ack,
        /// In the spool as soon as the call has ended: what runs when the process dies leaves nothing.
        Async,
    }
    /// How much of a call's arguments a record holds.
    ArgumentsWord {
        /// Nothing.
        None,
        /// Their names, without their values.
        Keys,
        /// A keyed digest of all of them.
        Digest,
        /// Their names, and the values that `keep` names, without what looks like a secret.
        Redacted,
    }
    /// What becomes of calls while the spool is full.
    WhenFullWord {
        /// They are refused.
        Refuse,
        /// They go on, apart from those of closed tools; the audit says how many records are missing.
        Pass,
    }
}
