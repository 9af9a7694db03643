-- Sums beside the rows, kept by the transaction that writes the rows. A row of these tables is a span of time, a group and a shard: gateways
-- write to different shards, so that none waits for another, and a group's sum is that of its shards. `group_id` is a hash of the group's
-- columns. `others` is not 0 where there were too many groups: 1 leaves out the user, 2 whatever clients choose, so that these are NULL.
--
-- By day of `created_at` (UTC), as `tollgate usage` counts. Retention does not touch them.
CREATE TABLE usage_daily (
    day                             date        NOT NULL,
    group_id                        uuid        NOT NULL,
    shard                           smallint    NOT NULL,
    others                          smallint    NOT NULL,
    tenant                          text,
    key_name                        text,
    api_key_hash                    text,
    user_id                         text,
    model                           text,                 -- the one that answered, or else the one asked for
    domain                          text,
    requests                        bigint      NOT NULL DEFAULT 0,
    batch_results                   bigint      NOT NULL DEFAULT 0,
    errors                          bigint      NOT NULL DEFAULT 0,
    cache_hits                      bigint      NOT NULL DEFAULT 0, -- answers from the gateway's cache
    input_tokens                    bigint      NOT NULL DEFAULT 0,
    output_tokens                   bigint      NOT NULL DEFAULT 0,
    cache_read_input_tokens         bigint      NOT NULL DEFAULT 0,
    cache_creation_input_tokens     bigint      NOT NULL DEFAULT 0,
    reasoning_tokens                bigint      NOT NULL DEFAULT 0,
    cost_usd                        numeric     NOT NULL DEFAULT 0, -- of the rows whose cost is known
    priced                          bigint      NOT NULL DEFAULT 0, -- rows whose cost is known: where this is 0, the cost is not known
    unpriced                        bigint      NOT NULL DEFAULT 0, -- rows that used something whose price is not known
    saved_cost_usd                  numeric     NOT NULL DEFAULT 0,
    saved_known                     bigint      NOT NULL DEFAULT 0,
    saved_tokens                    bigint      NOT NULL DEFAULT 0,
    PRIMARY KEY (day, group_id, shard)
) WITH (fillfactor = 60, autovacuum_vacuum_scale_factor = 0.1);

-- By minute (UTC) in which a call ended, for a day.
CREATE TABLE usage_minutes (
    minute                          timestamptz NOT NULL,
    group_id                        uuid        NOT NULL,
    shard                           smallint    NOT NULL,
    others                          smallint    NOT NULL,
    domain                          text,
    endpoint                        text,
    outcome                         text,
    reason                          text,                 -- of an error: the refusal's word, the error's type, or the status
    requests                        bigint      NOT NULL DEFAULT 0,
    errors                          bigint      NOT NULL DEFAULT 0,
    input_tokens                    bigint      NOT NULL DEFAULT 0,
    output_tokens                   bigint      NOT NULL DEFAULT 0,
    cache_read_input_tokens         bigint      NOT NULL DEFAULT 0,
    cache_creation_input_tokens     bigint      NOT NULL DEFAULT 0,
    reasoning_tokens                bigint      NOT NULL DEFAULT 0,
    cost_usd                        numeric     NOT NULL DEFAULT 0,
    priced                          bigint      NOT NULL DEFAULT 0,
    unpriced                        bigint      NOT NULL DEFAULT 0,
    -- calls by `response_time_ms`, each in one bucket
    le_10                           bigint      NOT NULL DEFAULT 0,
    le_25                           bigint      NOT NULL DEFAULT 0,
    le_50                           bigint      NOT NULL DEFAULT 0,
    le_100                          bigint      NOT NULL DEFAULT 0,
    le_200                          bigint      NOT NULL DEFAULT 0,
    le_350                          bigint      NOT NULL DEFAULT 0,
    le_500                          bigint      NOT NULL DEFAULT 0,
    le_750                          bigint      NOT NULL DEFAULT 0,
    le_1000                         bigint      NOT NULL DEFAULT 0,
    le_1500                         bigint      NOT NULL DEFAULT 0,
    le_2000                         bigint      NOT NULL DEFAULT 0,
    le_3000                         bigint      NOT NULL DEFAULT 0,
    le_5000                         bigint      NOT NULL DEFAULT 0,
    le_7500                         bigint      NOT NULL DEFAULT 0,
    le_10000                        bigint      NOT NULL DEFAULT 0,
    le_15000                        bigint      NOT NULL DEFAULT 0,
    le_20000                        bigint      NOT NULL DEFAULT 0,
    le_30000                        bigint      NOT NULL DEFAULT 0,
    le_60000                        bigint      NOT NULL DEFAULT 0,
    le_120000                       bigint      NOT NULL DEFAULT 0,
    le_300000                       bigint      NOT NULL DEFAULT 0,
    le_600000                       bigint      NOT NULL DEFAULT 0,
    le_inf                          bigint      NOT NULL DEFAULT 0,
    PRIMARY KEY (minute, group_id, shard)
) WITH (fillfactor = 60, autovacuum_vacuum_scale_factor = 0.1);

-- Days whose sums have been compared with their rows and made equal: those of before this step, and each day once it is over.
CREATE TABLE usage_days (
    day                             date        PRIMARY KEY,
    filled_at                       timestamptz NOT NULL
);
-- Since when rows are summed up as they are written, and since when those of before are, too: at once where there are none.
INSERT INTO ledger_tasks (task, done_at) VALUES ('rollups', now()) ON CONFLICT (task) DO NOTHING;
INSERT INTO ledger_tasks (task, done_at) SELECT 'rollups_filled', now()
WHERE NOT EXISTS (SELECT FROM api_requests) AND NOT EXISTS (SELECT FROM batch_results) ON CONFLICT (task) DO NOTHING;
