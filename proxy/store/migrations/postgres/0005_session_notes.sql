-- Read migrations/README.md before you write the next one.

-- What legacy sessions asked for beside their calls: a log level, resources to watch. One row for each thing; without a value it was
-- taken back. `item` is the digest of `name`. `seq` only ever grows, also when a row is written anew; writers take turns, so that
-- nobody who reads in its order misses one.
CREATE SEQUENCE session_notes_seq;
CREATE TABLE session_notes (
    seq BIGINT NOT NULL UNIQUE DEFAULT nextval('session_notes_seq'),
    tenant_id BYTEA NOT NULL REFERENCES tenants (id) ON DELETE CASCADE,
    session BYTEA NOT NULL,
    item BYTEA NOT NULL,
    name TEXT NOT NULL,
    value TEXT,
    expires_ms BIGINT NOT NULL,
    PRIMARY KEY (tenant_id, session, item)
);
CREATE INDEX session_notes_by_expiry ON session_notes (expires_ms);
