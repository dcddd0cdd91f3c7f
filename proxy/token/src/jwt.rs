//! Signed tokens: the header, the signature, the claims.
