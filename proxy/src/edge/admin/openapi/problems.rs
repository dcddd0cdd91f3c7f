//! The answers that refuse, for all operations in one place: which of them an operation can give follows from what it takes. A
//! noun names one itself only where it gives one that does not follow, with words of its own.

use serde_json::{Map, Value as Json, json};

use super::Operation;

/// A refusal: its status, its name among the components, and when it is given.
pub(in crate::edge::admin) struct Sort {
    pub(in crate::edge::admin) status: u16,
    pub(in crate::edge::admin) name: &'static str,
    about: &'static str,
    /// Whether it can be given by this operation.
    of: fn(&Operation<'_>) -> bool,
}

/// All of them.
pub(in crate::edge::admin) const SORTS: &[Sort] = &[
    Sort {
        status: 400,
        name: "BadRequest",
        about: "The request cannot be understood: its credential is malformed, a parameter is unknown or out of range, or the body is no JSON.",
        of: |_| true,
    },
    Sort {
        status: 401,
        name: "Unauthorized",
        about: "There is no credential, or one that does not count. The words are the same for all of them.",
        of: |_| true,
    },
    Sort {
        status: 403,
        name: "Forbidden",
        about: "Your role may not do this (`urn:patchbay:problem:role`), or may not set these fields so. Or the request comes by a name or from a page that is on no list (`urn:patchbay:problem:foreign`).",
        of: |_| true,
    },
    Sort {
        status: 404,
        name: "NotFound",
        about: "There is nothing here, or nothing that you may see: the same bytes for both.",
        of: |operation| operation.path.contains('{'),
    },
    Sort {
        status: 409,
        name: "Conflict",
        about: "It is not possible in the present state: it is there already, other parts do not allow it, the tenant's secrets cannot be opened, or a request with the same `Idempotency-Key` still runs or broke off.",
        of: |operation| operation.method == "post" || reads_a_tenant(operation),
    },
    Sort {
        status: 412,
        name: "Stale",
        about: "It is not in the state that the condition names: read it again, and make the change to what it is now (`urn:patchbay:problem:stale`).",
        of: |operation| operation.is_conditional(),
    },
    Sort {
        status: 413,
        name: "TooLarge",
        about: "The body is longer than 4 MiB.",
        of: |operation| operation.has_body(),
    },
    Sort {
        status: 415,
        name: "UnsupportedMediaType",
        about: "The body is of a kind that is not read here, or does not say its kind.",
        of: |operation| operation.has_body(),
    },
    Sort {
        status: 422,
        name: "Invalid",
        about: "Fields of the body are not as expected: `errors` has all of them (`urn:patchbay:problem:invalid`). Or the `Idempotency-Key` came with another body before (`urn:patchbay:problem:reused`).",
        of: |operation| operation.has_body() || operation.method == "post",
    },
    Sort {
        status: 428,
        name: "Unconditional",
        about: "A condition is needed: `If-Match`, or `If-None-Match: *` for what is not there yet (`urn:patchbay:problem:unconditional`).",
        of: |operation| operation.is_conditional(),
    },
    Sort {
        status: 429,
        name: "TooManyRequests",
        about: "Too many sign-ins from your address have failed, or as many such requests run as may run at once.",
        of: |_| true,
    },
    Sort { status: 500, name: "Internal", about: "A fault of the gateway; its log says more.", of: |_| true },
    Sort {
        status: 503,
        name: "Away",
        about: "Not possible now, and perhaps later: the store does not answer, too many requests run at once, or what was asked takes too long (`urn:patchbay:problem:away`).",
        of: |_| true,
    },
];

/// Whether the tenant is read with all that belongs to it, whose secrets may be sealed with a key that is gone.
fn reads_a_tenant(operation: &Operation<'_>) -> bool {
    let is_head = operation.path.ends_with("/tenants/{tenant}");
    operation.path.contains("{tenant}") && (!is_head || operation.method == "patch")
}

/// The components, by their names.
pub(super) fn components() -> Map<String, Json> {
    SORTS.iter().map(|sort| (sort.name.to_owned(), response(sort.status, sort.about))).collect()
}

/// Gives an operation its refusals. What it names itself keeps its own words.
pub(super) fn add(operation: &Operation<'_>, responses: &mut Map<String, Json>) {
    for (status, named) in responses.iter_mut() {
        let status: u16 = status.parse().unwrap_or_default();
        if status >= 400 {
            *named = response(status, named["description"].as_str().unwrap_or_default());
        }
    }
    for sort in SORTS.iter().filter(|sort| (sort.of)(operation)) {
        let reference = json!({ "$ref": format!("#/components/responses/{}", sort.name) });
        responses.entry(sort.status.to_string()).or_insert(reference);
    }
    responses.sort_keys();
}

fn response(status: u16, about: &str) -> Json {
    let content = json!({ "application/problem+json": { "schema": { "$ref": "#/components/schemas/Problem" } } });
    let mut response = json!({ "description": about, "content": content });
    let header = match status {
        401 => Some(("WWW-Authenticate", "string", "How to sign in.")),
        429 | 503 => Some(("Retry-After", "integer", "After how many seconds it may be tried again.")),
        _ => None,
    };
    if let Some((name, kind, about)) = header {
        response["headers"] = json!({ name: { "description": about, "schema": { "type": kind } } });
    }
    response
}
