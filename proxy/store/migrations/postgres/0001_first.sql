-- The number of each tenant's configuration. A row outlives its tenant (live = false), so that a tenant that is made
-- again under the same name goes on counting, and nobody mistakes the new one for the old one.
CREATE TABLE generations (
    slug TEXT NOT NULL PRIMARY KEY,
    generation BIGINT NOT NULL,
    live BOOLEAN NOT NULL
);

CREATE TABLE tenants (
    id BYTEA NOT NULL PRIMARY KEY,
    slug TEXT NOT NULL UNIQUE REFERENCES generations (slug),
    title TEXT,
    enabled BOOLEAN NOT NULL,
    limits JSON NOT NULL
);

-- `spec` is JSON and not JSONB: JSONB spells numbers anew and refuses \u0000, and then a spec would not come back as it
-- was stored.
CREATE TABLE servers (
    id BYTEA NOT NULL PRIMARY KEY,
    tenant_id BYTEA NOT NULL REFERENCES tenants (id) ON DELETE CASCADE,
    slug TEXT NOT NULL,
    spec JSON NOT NULL,
    UNIQUE (tenant_id, slug)
);

-- One row per header or environment value, sealed: key id, nonce, ciphertext with tag.
CREATE TABLE secrets (
    server_id BYTEA NOT NULL REFERENCES servers (id) ON DELETE CASCADE,
    name TEXT NOT NULL,
    sealed BYTEA NOT NULL,
    PRIMARY KEY (server_id, name)
);

CREATE TABLE toolsets (
    tenant_id BYTEA NOT NULL REFERENCES tenants (id) ON DELETE CASCADE,
    slug TEXT NOT NULL,
    spec JSON NOT NULL,
    PRIMARY KEY (tenant_id, slug)
);

CREATE TABLE api_keys (
    id BYTEA NOT NULL PRIMARY KEY,
    tenant_id BYTEA NOT NULL REFERENCES tenants (id) ON DELETE CASCADE,
    label TEXT NOT NULL,
    shown TEXT NOT NULL,
    digest BYTEA NOT NULL UNIQUE,
    toolsets JSON,
    created_ms BIGINT NOT NULL,
    expires_ms BIGINT,
    revoked_ms BIGINT,
    used_ms BIGINT
);
CREATE INDEX api_keys_by_tenant ON api_keys (tenant_id, created_ms);

CREATE TABLE catalogs (
    server_id BYTEA NOT NULL PRIMARY KEY REFERENCES servers (id) ON DELETE CASCADE,
    bytes BYTEA NOT NULL
);

CREATE TABLE tombstones (
    seq BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    tenant_id BYTEA NOT NULL REFERENCES tenants (id) ON DELETE CASCADE,
    digest BYTEA NOT NULL,
    expires_ms BIGINT NOT NULL,
    UNIQUE (tenant_id, digest)
);
CREATE INDEX tombstones_by_expiry ON tombstones (expires_ms);

-- No foreign key: the trail outlives the tenant. `json` is kept byte for byte, since its hash is part of a chain.
CREATE TABLE audit (
    event_id BYTEA NOT NULL PRIMARY KEY,
    tenant_id BYTEA,
    at_ms BIGINT NOT NULL,
    kind TEXT NOT NULL,
    json TEXT NOT NULL
);
-- Event ids begin with their time, so their order is the order of time.
CREATE INDEX audit_by_tenant ON audit (tenant_id, event_id);
