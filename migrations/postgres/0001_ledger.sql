-- The ledger. `api_requests` has one row per accepted request. It is cut by month of `created_at`, in UTC; the gateway makes
-- its leaves (api_requests_YYYY_MM), ahead of time and for whatever month a row needs. There is no default partition: it
-- would forbid DETACH … CONCURRENTLY. Text has no length and figures have 64 bits, so that no row is lost for its size.
CREATE TABLE api_requests (
    id                              uuid        NOT NULL, -- UUIDv7, the gateway's own
    created_at                      timestamptz NOT NULL, -- when the request's head had been read
    revision                        integer     NOT NULL, -- 0: foreseen before the last bytes went out; 1: what became of it
    instance                        uuid        NOT NULL, -- the gateway, by an id that is new with every start
    sequence                        bigint      NOT NULL, -- the row's number in that instance: 1, 2, 3, … without gaps
    domain                          text        NOT NULL,
    method                          text        NOT NULL,
    path                            text        NOT NULL,
    endpoint                        text,
    model                           text,
    request_type                    text        NOT NULL,
    served_model                    text,
    conversation_id                 uuid,
    turn_hash                       bytea,
    previous_turn_hash              bytea,
    api_key_hash                    text,
    response_status                 integer,
    response_time_ms                bigint      NOT NULL,
    first_byte_ms                   bigint,
    first_token_ms                  bigint,
    streaming                       boolean,
    input_tokens                    bigint,               -- from no cache
    output_tokens                   bigint,
    cache_read_input_tokens         bigint,
    cache_creation_input_tokens     bigint,
    cache_creation_1h_input_tokens  bigint,
    reasoning_tokens                bigint,
    usage_source                    text        NOT NULL, -- reported, partial or none
    usage_data                      json,                 -- the provider's own object; json keeps it to the byte
    billed                          json,                 -- each sampling, where the sum is not the bill
    cost_usd                        numeric,              -- NULL: a price is not known
    cache_status                    text,
    saved_input_tokens              bigint,
    saved_output_tokens             bigint,
    saved_cache_read_input_tokens   bigint,
    saved_cache_creation_input_tokens bigint,
    saved_cost_usd                  numeric,
    upstream                        text,
    server                          text,
    attempts                        integer     NOT NULL,
    outcome                         text        NOT NULL,
    error_type                      text,
    stop_reason                     text,
    request_bytes                   bigint      NOT NULL,
    response_bytes                  bigint      NOT NULL,
    client_ip                       inet,
    upstream_request_id             text,
    answer_id                       text,
    service_tier                    text,
    inference_geo                   text,
    speed                           text,
    web_search_requests             bigint,
    web_fetch_requests              bigint,
    -- what Claude Nexus calls them
    request_id                      uuid        GENERATED ALWAYS AS (id) STORED,
    "timestamp"                     timestamptz GENERATED ALWAYS AS (created_at) STORED,
    duration_ms                     bigint      GENERATED ALWAYS AS (response_time_ms) STORED,
    PRIMARY KEY (id, created_at)
) PARTITION BY RANGE (created_at);

CREATE INDEX idx_api_requests_created_at ON api_requests (created_at);
CREATE INDEX idx_api_requests_domain ON api_requests (domain);
CREATE INDEX idx_api_requests_conversation ON api_requests (conversation_id, created_at);
CREATE INDEX idx_api_requests_turn ON api_requests (turn_hash) WHERE turn_hash IS NOT NULL;

-- Bodies live apart and by day, so that they can be dropped long before their rows.
CREATE TABLE api_request_bodies (
    id                              uuid        NOT NULL,
    created_at                      timestamptz NOT NULL, -- of the request
    revision                        integer     NOT NULL,
    request_body                    bytea,
    request_body_encoding           text,
    request_body_truncated          boolean,
    response_body                   bytea,
    response_body_encoding          text,
    response_body_truncated         boolean,
    PRIMARY KEY (id, created_at)
) PARTITION BY RANGE (created_at);

CREATE TABLE streaming_chunks (
    request_id                      uuid        NOT NULL,
    chunk_index                     integer     NOT NULL,
    created_at                      timestamptz NOT NULL, -- of the request
    "timestamp"                     timestamptz NOT NULL, -- when it came
    data                            bytea       NOT NULL,
    token_count                     integer     NOT NULL DEFAULT 0,
    PRIMARY KEY (request_id, chunk_index)
) WITH (autovacuum_vacuum_scale_factor = 0.1);
CREATE INDEX idx_streaming_chunks_created_at ON streaming_chunks (created_at);

-- One row per result of a batch, however often the results are downloaded.
CREATE TABLE batch_results (
    batch_id                        text        NOT NULL,
    custom_id                       text        NOT NULL,
    request_id                      uuid        NOT NULL, -- the download that told of it first
    created_at                      timestamptz NOT NULL,
    domain                          text        NOT NULL,
    api_key_hash                    text,
    upstream                        text,
    served_model                    text,
    input_tokens                    bigint,
    output_tokens                   bigint,
    cache_read_input_tokens         bigint,
    cache_creation_input_tokens     bigint,
    cache_creation_1h_input_tokens  bigint,
    reasoning_tokens                bigint,
    usage_data                      json,
    billed                          json,
    cost_usd                        numeric,
    web_search_requests             bigint,
    service_tier                    text,
    PRIMARY KEY (batch_id, custom_id)
) WITH (autovacuum_vacuum_scale_factor = 0.1);
CREATE INDEX idx_batch_results_created_at ON batch_results (created_at);

CREATE VIEW conversations AS
SELECT conversation_id AS id,
       min(created_at) AS first_request_at,
       max(created_at) AS last_request_at,
       count(*) AS requests,
       sum(input_tokens) AS input_tokens,
       sum(output_tokens) AS output_tokens,
       sum(cost_usd) AS cost_usd
FROM api_requests
WHERE conversation_id IS NOT NULL
GROUP BY conversation_id;

-- How far numbers are gone with the rows that retention dropped: below them a gap means nothing.
CREATE TABLE ledger_retired (
    instance                        uuid        PRIMARY KEY,
    sequence                        bigint      NOT NULL
);

-- What is done now and then, by whichever gateway comes first.
CREATE TABLE ledger_tasks (
    task                            text        PRIMARY KEY,
    done_at                         timestamptz NOT NULL
);
