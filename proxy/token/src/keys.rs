//! The keys of an issuer: found by its metadata, fetched, remembered.
