//! The official conformance suite's client role, as far as it can be played without a user: the gateway signs in at the suite's
//! servers as itself. See `tests/fixtures/suite_client`.
