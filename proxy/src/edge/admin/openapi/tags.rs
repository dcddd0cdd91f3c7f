//! What the nouns of the API are, in the order in which the reference has them.

/// A noun, and a sentence or two about it.
pub(super) const TAGS: &[(&str, &str)] = &[
    ("me", "Who you are to this API."),
    (
        "tenants",
        "A tenant is a team's own gateway inside of this one: servers, toolsets, keys, limits and an audit of its own.",
    ),
    (
        "servers",
        "What a tenant's tools come from: a server elsewhere, a child process, or one that is part of the gateway.",
    ),
    (
        "toolsets",
        "What a client is shown under one URL: a choice of the tools of several servers, and who may have them.",
    ),
    ("issuers", "Who signs a tenant's people in."),
    ("limits", "What callers of a tenant may do, how often, and how that stands now."),
    ("API keys", "What clients of a tenant sign in with. They open nothing here."),
    ("revocations", "Tokens that open nothing any more, although their issuers still say so."),
    ("audit policy", "What a tenant's audit holds, and how surely."),
    ("audit", "Who did what, when, and how it ended: chained and signed, so that nothing can be taken out unseen."),
    ("catalogs", "What a server offers, and what becomes of it in each toolset."),
    ("health", "How servers are, as the replica that answers sees them."),
    ("sessions", "Who is connected to a tenant, and what runs for it."),
    ("snapshots", "What is in force for a tenant, and why it is not the newest, if it is not."),
    ("gateway", "The gateway that answers."),
    ("admin keys", "What machines and people sign in with here."),
    ("sealing", "The keys that everything secret in the store is sealed with."),
];
