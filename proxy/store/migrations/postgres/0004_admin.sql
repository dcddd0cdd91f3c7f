-- Read migrations/README.md before you write the next one.

-- The level (the number of a migration) that a program must know to work on these tables; the largest row counts. This step only
-- adds, so those who know step 3 may go on.
CREATE TABLE schema_needs (
    oldest BIGINT NOT NULL PRIMARY KEY
);
INSERT INTO schema_needs (oldest) VALUES (3);

-- Who may administer what. A key without a tenant is for the platform; one of a tenant goes with it.
CREATE TABLE admin_keys (
    id BYTEA NOT NULL PRIMARY KEY,
    tenant_id BYTEA REFERENCES tenants (id) ON DELETE CASCADE,
    role TEXT NOT NULL,
    label TEXT NOT NULL,
    shown TEXT NOT NULL,
    digest BYTEA NOT NULL UNIQUE,
    created_ms BIGINT NOT NULL,
    expires_ms BIGINT,
    revoked_ms BIGINT,
    used_ms BIGINT
);
CREATE INDEX admin_keys_by_tenant ON admin_keys (tenant_id) WHERE tenant_id IS NOT NULL;

-- Requests of admins that must not be done twice. `request` and `body` are digests; `answer` is sealed, and absent while it is done.
CREATE TABLE admin_requests (
    request BYTEA NOT NULL PRIMARY KEY,
    body BYTEA NOT NULL,
    answer BYTEA,
    expires_ms BIGINT NOT NULL
);
CREATE INDEX admin_requests_by_expiry ON admin_requests (expires_ms);
