//! The reference of the API for people: one page of HTML, made of the OpenAPI document when it is first asked for. It needs no
//! network, no script and no credential, and says nothing of what is in this gateway.

mod example;
mod fields;
mod html;
mod operation;
mod page;
#[cfg(test)]
mod tests;

use std::sync::LazyLock;

use axum::response::Response;
use base64::{Engine, engine::general_purpose::STANDARD};
use http::{HeaderMap, HeaderValue};
use sha2::{Digest, Sha256};

use super::openapi::{self, Fixed};

const STYLE: &str = include_str!("reference/style.css");

static PAGE: LazyLock<Fixed> = LazyLock::new(|| {
    let text = page::page(openapi::document(), STYLE);
    Fixed::new("text/html; charset=utf-8", text, Some(policy()))
});

/// Serves the page.
pub(super) async fn serve(headers: HeaderMap) -> Response {
    PAGE.answer(&headers)
}

/// Nothing but the page's own style counts, and no page may frame it.
fn policy() -> HeaderValue {
    let hash = STANDARD.encode(Sha256::digest(STYLE));
    let policy = format!(
        "default-src 'none'; style-src 'sha256-{hash}'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    );
    HeaderValue::try_from(policy).expect("a hash is of plain characters")
}
