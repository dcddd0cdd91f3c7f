-- Who signs a tenant's people in.
CREATE TABLE issuers (
    tenant_id BLOB NOT NULL REFERENCES tenants (id) ON DELETE CASCADE,
    slug TEXT NOT NULL,
    spec TEXT NOT NULL,
    PRIMARY KEY (tenant_id, slug)
) STRICT, WITHOUT ROWID;

-- Sealed like `secrets`, each bound to its tenant, issuer and name.
CREATE TABLE issuer_secrets (
    tenant_id BLOB NOT NULL,
    issuer TEXT NOT NULL,
    name TEXT NOT NULL,
    sealed BLOB NOT NULL,
    PRIMARY KEY (tenant_id, issuer, name),
    FOREIGN KEY (tenant_id, issuer) REFERENCES issuers (tenant_id, slug) ON DELETE CASCADE
) STRICT, WITHOUT ROWID;

-- `what` is JSON text of any length; its SHA-256 keeps the same thing from being revoked twice.
CREATE TABLE revocations (
    id BLOB NOT NULL PRIMARY KEY,
    tenant_id BLOB NOT NULL REFERENCES tenants (id) ON DELETE CASCADE,
    digest BLOB NOT NULL,
    what TEXT NOT NULL,
    reason TEXT,
    created_ms INTEGER NOT NULL,
    expires_ms INTEGER,
    UNIQUE (tenant_id, digest)
) STRICT, WITHOUT ROWID;
CREATE INDEX revocations_by_tenant ON revocations (tenant_id, created_ms);

-- The gateway's own token at a server, and who may get the next one until when. Either may be there without the other.
CREATE TABLE server_tokens (
    server_id BLOB NOT NULL PRIMARY KEY REFERENCES servers (id) ON DELETE CASCADE,
    sealed BLOB,
    expires_ms INTEGER,
    lease_holder INTEGER,
    lease_until_ms INTEGER,
    CHECK ((sealed IS NULL) = (expires_ms IS NULL)),
    CHECK ((lease_holder IS NULL) = (lease_until_ms IS NULL))
) STRICT;
