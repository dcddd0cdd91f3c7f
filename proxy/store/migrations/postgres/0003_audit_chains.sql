-- What a tenant's file says of its audit.
ALTER TABLE tenants ADD COLUMN audit JSON NOT NULL DEFAULT '{}';

-- Rows become links of chains, one chain for each tenant and writer, and are found by more than their time. Rows from before,
-- and those of an older Patchbay that still runs beside, have `seq` 0 and are in no chain. `writer` is the writer's number with
-- its bits as they are, so it may be negative. `actor` is compared byte by byte, so that what begins with something is a range.
ALTER TABLE audit RENAME TO audit_before;
ALTER TABLE audit_before RENAME CONSTRAINT audit_pkey TO audit_before_pkey;
ALTER INDEX audit_by_tenant RENAME TO audit_before_by_tenant;
ALTER TABLE audit_before
    ADD COLUMN writer BIGINT NOT NULL DEFAULT 0,
    ADD COLUMN seq BIGINT NOT NULL DEFAULT 0,
    ADD COLUMN hash BYTEA NOT NULL DEFAULT ''::bytea,
    ADD COLUMN actor TEXT COLLATE "C",
    ADD COLUMN server TEXT,
    ADD COLUMN name TEXT,
    ADD COLUMN outcome TEXT;

-- A partition for each day, by the time with which event ids begin; `audit_prepare` makes those of the next days. No foreign
-- key: the trail outlives the tenant. `json` is kept byte for byte, since it is what is hashed.
CREATE TABLE audit (
    event_id BYTEA NOT NULL,
    tenant_id BYTEA,
    at_ms BIGINT NOT NULL,
    kind TEXT NOT NULL,
    json TEXT NOT NULL,
    writer BIGINT NOT NULL DEFAULT 0,
    seq BIGINT NOT NULL DEFAULT 0,
    hash BYTEA NOT NULL DEFAULT ''::bytea,
    actor TEXT COLLATE "C",
    server TEXT,
    name TEXT,
    outcome TEXT,
    CONSTRAINT audit_pkey PRIMARY KEY (event_id)
) PARTITION BY RANGE (event_id);
CREATE INDEX audit_by_tenant ON audit (tenant_id, event_id);
-- A chain in the order of its numbers; statements say `coalesce(tenant_id, ''::bytea)` in just these words.
CREATE INDEX audit_by_chain ON audit (writer, coalesce(tenant_id, ''::bytea), seq);
CREATE INDEX audit_by_actor ON audit (tenant_id, actor, event_id) WHERE actor IS NOT NULL;
CREATE INDEX audit_by_target ON audit (tenant_id, server, name, event_id) WHERE server IS NOT NULL;

-- For rows of days that have no partition: nothing is ever refused for want of one.
CREATE TABLE audit_rest PARTITION OF audit DEFAULT;

-- The rows from before stay where they are, as the partition of all days up to today. Rows of the future (a clock was wrong)
-- move, since they would keep that partition from ending today. An empty table is in the way of tidy partitions only.
DO $$
DECLARE
    tomorrow_ms BIGINT := (floor(extract(epoch FROM now()) / 86400)::bigint + 1) * 86400000;
    tomorrow BYTEA := decode(lpad(to_hex(tomorrow_ms), 12, '0') || repeat('00', 10), 'hex');
BEGIN
    IF EXISTS (SELECT 1 FROM audit_before) THEN
        WITH moved AS (DELETE FROM audit_before WHERE event_id >= tomorrow RETURNING *)
            INSERT INTO audit_rest SELECT * FROM moved;
        EXECUTE format('ALTER TABLE audit ATTACH PARTITION audit_before FOR VALUES FROM (MINVALUE) TO (%L)', tomorrow);
    ELSE
        DROP TABLE audit_before;
    END IF;
END
$$;

-- From here on `tenant` is a tenant's id, or empty for what is of no tenant. Nothing refers to `tenants`: the trail outlives
-- the tenant.

-- The last row of each chain, which stays known when the row itself is gone.
CREATE TABLE audit_heads (
    tenant BYTEA NOT NULL,
    writer BIGINT NOT NULL,
    seq BIGINT NOT NULL,
    hash BYTEA NOT NULL,
    at_ms BIGINT NOT NULL,
    PRIMARY KEY (tenant, writer)
);

-- `reason` is 0 for a head and 1 for a retention.
CREATE TABLE audit_checkpoints (
    tenant BYTEA NOT NULL,
    writer BIGINT NOT NULL,
    seq BIGINT NOT NULL,
    reason BIGINT NOT NULL,
    hash BYTEA NOT NULL,
    at_ms BIGINT NOT NULL,
    signature BYTEA NOT NULL,
    PRIMARY KEY (tenant, writer, seq, reason)
);

-- How far each sink has come in each chain.
CREATE TABLE audit_cursors (
    sink TEXT NOT NULL,
    tenant BYTEA NOT NULL,
    writer BIGINT NOT NULL,
    seq BIGINT NOT NULL,
    PRIMARY KEY (sink, tenant, writer)
);

-- Who may do a piece of work until when.
CREATE TABLE audit_leases (
    work TEXT NOT NULL PRIMARY KEY,
    holder BIGINT NOT NULL,
    until_ms BIGINT NOT NULL
);
