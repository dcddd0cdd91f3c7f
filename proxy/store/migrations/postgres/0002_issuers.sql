-- Who signs a tenant's people in. `spec` and `what` are JSON and not JSONB, as in `servers`.
CREATE TABLE issuers (
    tenant_id BYTEA NOT NULL REFERENCES tenants (id) ON DELETE CASCADE,
    slug TEXT NOT NULL,
    spec JSON NOT NULL,
    PRIMARY KEY (tenant_id, slug)
);

-- Sealed like `secrets`, each bound to its tenant, issuer and name.
CREATE TABLE issuer_secrets (
    tenant_id BYTEA NOT NULL,
    issuer TEXT NOT NULL,
    name TEXT NOT NULL,
    sealed BYTEA NOT NULL,
    PRIMARY KEY (tenant_id, issuer, name),
    FOREIGN KEY (tenant_id, issuer) REFERENCES issuers (tenant_id, slug) ON DELETE CASCADE
);

-- `what` is of any length; its SHA-256 keeps the same thing from being revoked twice.
CREATE TABLE revocations (
    id BYTEA NOT NULL PRIMARY KEY,
    tenant_id BYTEA NOT NULL REFERENCES tenants (id) ON DELETE CASCADE,
    digest BYTEA NOT NULL,
    what JSON NOT NULL,
    reason TEXT,
    created_ms BIGINT NOT NULL,
    expires_ms BIGINT,
    UNIQUE (tenant_id, digest)
);
CREATE INDEX revocations_by_tenant ON revocations (tenant_id, created_ms);

-- The gateway's own token at a server, and who may get the next one until when. Either may be there without the other.
CREATE TABLE server_tokens (
    server_id BYTEA NOT NULL PRIMARY KEY REFERENCES servers (id) ON DELETE CASCADE,
    sealed BYTEA,
    expires_ms BIGINT,
    lease_holder BIGINT,
    lease_until_ms BIGINT,
    CHECK ((sealed IS NULL) = (expires_ms IS NULL)),
    CHECK ((lease_holder IS NULL) = (lease_until_ms IS NULL))
);
