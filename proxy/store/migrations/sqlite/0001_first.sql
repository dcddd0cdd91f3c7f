-- The number of each tenant's configuration. A row outlives its tenant (live = 0), so that a tenant that is made again
-- under the same name goes on counting, and nobody mistakes the new one for the old one.
CREATE TABLE generations (
    slug TEXT NOT NULL PRIMARY KEY,
    generation INTEGER NOT NULL,
    live INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE tenants (
    id BLOB NOT NULL PRIMARY KEY,
    slug TEXT NOT NULL UNIQUE REFERENCES generations (slug),
    title TEXT,
    enabled INTEGER NOT NULL,
    limits TEXT NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE servers (
    id BLOB NOT NULL PRIMARY KEY,
    tenant_id BLOB NOT NULL REFERENCES tenants (id) ON DELETE CASCADE,
    slug TEXT NOT NULL,
    spec TEXT NOT NULL,
    UNIQUE (tenant_id, slug)
) STRICT, WITHOUT ROWID;

-- One row per header or environment value, sealed: key id, nonce, ciphertext with tag.
CREATE TABLE secrets (
    server_id BLOB NOT NULL REFERENCES servers (id) ON DELETE CASCADE,
    name TEXT NOT NULL,
    sealed BLOB NOT NULL,
    PRIMARY KEY (server_id, name)
) STRICT, WITHOUT ROWID;

CREATE TABLE toolsets (
    tenant_id BLOB NOT NULL REFERENCES tenants (id) ON DELETE CASCADE,
    slug TEXT NOT NULL,
    spec TEXT NOT NULL,
    PRIMARY KEY (tenant_id, slug)
) STRICT, WITHOUT ROWID;

CREATE TABLE api_keys (
    id BLOB NOT NULL PRIMARY KEY,
    tenant_id BLOB NOT NULL REFERENCES tenants (id) ON DELETE CASCADE,
    label TEXT NOT NULL,
    shown TEXT NOT NULL,
    digest BLOB NOT NULL UNIQUE,
    toolsets TEXT,
    created_ms INTEGER NOT NULL,
    expires_ms INTEGER,
    revoked_ms INTEGER,
    used_ms INTEGER
) STRICT, WITHOUT ROWID;
CREATE INDEX api_keys_by_tenant ON api_keys (tenant_id, created_ms);

CREATE TABLE catalogs (
    server_id BLOB NOT NULL PRIMARY KEY REFERENCES servers (id) ON DELETE CASCADE,
    bytes BLOB NOT NULL
) STRICT;

-- `seq` only ever grows (AUTOINCREMENT), so its maximum tells whether there is a new row.
CREATE TABLE tombstones (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    tenant_id BLOB NOT NULL REFERENCES tenants (id) ON DELETE CASCADE,
    digest BLOB NOT NULL,
    expires_ms INTEGER NOT NULL,
    UNIQUE (tenant_id, digest)
) STRICT;
CREATE INDEX tombstones_by_expiry ON tombstones (expires_ms);

-- No foreign key: the trail outlives the tenant. `json` is kept byte for byte, since its hash is part of a chain.
CREATE TABLE audit (
    event_id BLOB NOT NULL PRIMARY KEY,
    tenant_id BLOB,
    at_ms INTEGER NOT NULL,
    kind TEXT NOT NULL,
    json TEXT NOT NULL
) STRICT, WITHOUT ROWID;
-- Event ids begin with their time, so their order is the order of time.
CREATE INDEX audit_by_tenant ON audit (tenant_id, event_id);
