-- What a tenant's file says of its audit.
ALTER TABLE tenants ADD COLUMN audit TEXT NOT NULL DEFAULT '{}';

-- Rows become links of chains, one chain for each tenant and writer, and are found by more than their time. Rows from before,
-- and those of an older Patchbay that still runs beside, have `seq` 0 and are in no chain. `writer` is the writer's number with
-- its bits as they are, so it may be negative.
ALTER TABLE audit ADD COLUMN writer INTEGER NOT NULL DEFAULT 0;
ALTER TABLE audit ADD COLUMN seq INTEGER NOT NULL DEFAULT 0;
ALTER TABLE audit ADD COLUMN hash BLOB NOT NULL DEFAULT x'';
ALTER TABLE audit ADD COLUMN actor TEXT;
ALTER TABLE audit ADD COLUMN server TEXT;
ALTER TABLE audit ADD COLUMN name TEXT;
ALTER TABLE audit ADD COLUMN outcome TEXT;

-- A chain in the order of its numbers; statements say `coalesce(tenant_id, x'')` in just these words.
CREATE INDEX audit_by_chain ON audit (writer, coalesce(tenant_id, x''), seq);
CREATE INDEX audit_by_actor ON audit (tenant_id, actor, event_id) WHERE actor IS NOT NULL;
CREATE INDEX audit_by_target ON audit (tenant_id, server, name, event_id) WHERE server IS NOT NULL;

-- From here on `tenant` is a tenant's id, or empty for what is of no tenant. Nothing refers to `tenants`: the trail outlives
-- the tenant.

-- The last row of each chain, which stays known when the row itself is gone.
CREATE TABLE audit_heads (
    tenant BLOB NOT NULL,
    writer INTEGER NOT NULL,
    seq INTEGER NOT NULL,
    hash BLOB NOT NULL,
    at_ms INTEGER NOT NULL,
    PRIMARY KEY (tenant, writer)
) STRICT, WITHOUT ROWID;

-- `reason` is 0 for a head and 1 for a retention.
CREATE TABLE audit_checkpoints (
    tenant BLOB NOT NULL,
    writer INTEGER NOT NULL,
    seq INTEGER NOT NULL,
    reason INTEGER NOT NULL,
    hash BLOB NOT NULL,
    at_ms INTEGER NOT NULL,
    signature BLOB NOT NULL,
    PRIMARY KEY (tenant, writer, seq, reason)
) STRICT, WITHOUT ROWID;

-- How far each sink has come in each chain.
CREATE TABLE audit_cursors (
    sink TEXT NOT NULL,
    tenant BLOB NOT NULL,
    writer INTEGER NOT NULL,
    seq INTEGER NOT NULL,
    PRIMARY KEY (sink, tenant, writer)
) STRICT, WITHOUT ROWID;

-- Who may do a piece of work until when.
CREATE TABLE audit_leases (
    work TEXT NOT NULL PRIMARY KEY,
    holder INTEGER NOT NULL,
    until_ms INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
