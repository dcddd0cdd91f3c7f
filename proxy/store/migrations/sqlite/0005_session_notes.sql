-- Read migrations/README.md before you write the next one.

-- What legacy sessions asked for beside their calls: a log level, resources to watch. One row for each thing; without a value it was
-- taken back. `item` is the digest of `name`. `seq` only ever grows, also when a row is written anew.
CREATE TABLE session_notes (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    tenant_id BLOB NOT NULL REFERENCES tenants (id) ON DELETE CASCADE,
    session BLOB NOT NULL,
    item BLOB NOT NULL,
    name TEXT NOT NULL,
    value TEXT,
    expires_ms INTEGER NOT NULL,
    UNIQUE (tenant_id, session, item)
) STRICT;
CREATE INDEX session_notes_by_expiry ON session_notes (expires_ms);
