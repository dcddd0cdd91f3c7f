//! Opaque tokens: what the issuer says of them (RFC 7662).
