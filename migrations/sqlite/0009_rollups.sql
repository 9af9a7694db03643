-- Sums beside the rows, kept by the transaction that writes the rows. A row of these tables is a span of time, a group and a shard: gateways
-- write to different shards, so that none waits for another, and a group's sum is that of its shards. `group_id` is a hash of the group's
-- columns. `others` is not 0 where there were too many groups: 1 leaves out the user, 2 whatever clients choose, so that these are NULL.
--
-- By day of `created_at` (UTC), as `tollgate usage` counts. Retention does not touch them.
CREATE TABLE usage_daily (
    day                             text        NOT NULL,
    group_id                        blob        NOT NULL,
    shard                           integer     NOT NULL,
    others                          integer     NOT NULL,
    tenant                          text,
    key_name                        text,
    api_key_hash                    text,
    user_id                         text,
    model                           text,                 -- the one that answered, or else the one asked for
    domain                          text,
    requests                        integer     NOT NULL DEFAULT 0,
    batch_results                   integer     NOT NULL DEFAULT 0,
    errors                          integer     NOT NULL DEFAULT 0,
    cache_hits                      integer     NOT NULL DEFAULT 0, -- answers from the gateway's cache
    input_tokens                    integer     NOT NULL DEFAULT 0,
    output_tokens                   integer     NOT NULL DEFAULT 0,
    cache_read_input_tokens         integer     NOT NULL DEFAULT 0,
    cache_creation_input_tokens     integer     NOT NULL DEFAULT 0,
    reasoning_tokens                integer     NOT NULL DEFAULT 0,
    cost_picos                      integer     NOT NULL DEFAULT 0, -- of the rows whose cost is known
    priced                          integer     NOT NULL DEFAULT 0, -- rows whose cost is known: where this is 0, the cost is not known
    unpriced                        integer     NOT NULL DEFAULT 0, -- rows that used something whose price is not known
    saved_cost_picos                integer     NOT NULL DEFAULT 0,
    saved_known                     integer     NOT NULL DEFAULT 0,
    saved_tokens                    integer     NOT NULL DEFAULT 0,
    PRIMARY KEY (day, group_id, shard)
) STRICT, WITHOUT ROWID;

-- By minute (UTC) in which a call ended, for a day.
CREATE TABLE usage_minutes (
    minute                          text        NOT NULL,
    group_id                        blob        NOT NULL,
    shard                           integer     NOT NULL,
    others                          integer     NOT NULL,
    domain                          text,
    endpoint                        text,
    outcome                         text,
    reason                          text,                 -- of an error: the refusal's word, the error's type, or the status
    requests                        integer     NOT NULL DEFAULT 0,
    errors                          integer     NOT NULL DEFAULT 0,
    input_tokens                    integer     NOT NULL DEFAULT 0,
    output_tokens                   integer     NOT NULL DEFAULT 0,
    cache_read_input_tokens         integer     NOT NULL DEFAULT 0,
    cache_creation_input_tokens     integer     NOT NULL DEFAULT 0,
    reasoning_tokens                integer     NOT NULL DEFAULT 0,
    cost_picos                      integer     NOT NULL DEFAULT 0,
    priced                          integer     NOT NULL DEFAULT 0,
    unpriced                        integer     NOT NULL DEFAULT 0,
    -- calls by `response_time_ms`, each in one bucket
    le_10                           integer     NOT NULL DEFAULT 0,
    le_25                           integer     NOT NULL DEFAULT 0,
    le_50                           integer     NOT NULL DEFAULT 0,
    le_100                          integer     NOT NULL DEFAULT 0,
    le_200                          integer     NOT NULL DEFAULT 0,
    le_350                          integer     NOT NULL DEFAULT 0,
    le_500                          integer     NOT NULL DEFAULT 0,
    le_750                          integer     NOT NULL DEFAULT 0,
    le_1000                         integer     NOT NULL DEFAULT 0,
    le_1500                         integer     NOT NULL DEFAULT 0,
    le_2000                         integer     NOT NULL DEFAULT 0,
    le_3000                         integer     NOT NULL DEFAULT 0,
    le_5000                         integer     NOT NULL DEFAULT 0,
    le_7500                         integer     NOT NULL DEFAULT 0,
    le_10000                        integer     NOT NULL DEFAULT 0,
    le_15000                        integer     NOT NULL DEFAULT 0,
    le_20000                        integer     NOT NULL DEFAULT 0,
    le_30000                        integer     NOT NULL DEFAULT 0,
    le_60000                        integer     NOT NULL DEFAULT 0,
    le_120000                       integer     NOT NULL DEFAULT 0,
    le_300000                       integer     NOT NULL DEFAULT 0,
    le_600000                       integer     NOT NULL DEFAULT 0,
    le_inf                          integer     NOT NULL DEFAULT 0,
    PRIMARY KEY (minute, group_id, shard)
) STRICT, WITHOUT ROWID;

-- Days whose sums have been compared with their rows and made equal: those of before this step, and each day once it is over.
CREATE TABLE usage_days (
    day                             text        NOT NULL PRIMARY KEY,
    filled_at                       text        NOT NULL
) STRICT;
-- Since when rows are summed up as they are written, and since when those of before are, too: at once where there are none.
CREATE TABLE ledger_tasks (
    task                            text        NOT NULL PRIMARY KEY,
    done_at                         text        NOT NULL
) STRICT;
INSERT INTO ledger_tasks (task, done_at) VALUES ('rollups', strftime('%Y-%m-%d %H:%M:%f000', 'now'));
INSERT INTO ledger_tasks (task, done_at) SELECT 'rollups_filled', strftime('%Y-%m-%d %H:%M:%f000', 'now')
WHERE NOT EXISTS (SELECT 1 FROM api_requests) AND NOT EXISTS (SELECT 1 FROM batch_results);
