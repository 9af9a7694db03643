-- The ledger, for SQLite: the columns of the Postgres schema. Ids are text, as people read them; times are text in UTC
-- (2026-11-24 13:30:00.123456), which SQLite's own functions read and which sorts by time. SQLite has no decimals: money
-- is kept in whole picodollars, from which sums are exact; the columns in dollars are made of them, and are not.
CREATE TABLE api_requests (
    id                              text        NOT NULL, -- UUIDv7, the gateway's own
    created_at                      text        NOT NULL, -- when the request's head had been read
    revision                        integer     NOT NULL, -- 0: foreseen before the last bytes went out; 1: what became of it
    instance                        text        NOT NULL, -- the gateway, by an id that is new with every start
    sequence                        integer     NOT NULL, -- the row's number in that instance: 1, 2, 3, … without gaps
    domain                          text        NOT NULL,
    method                          text        NOT NULL,
    path                            text        NOT NULL,
    endpoint                        text,
    model                           text,
    request_type                    text        NOT NULL,
    served_model                    text,
    conversation_id                 text,
    turn_hash                       blob,
    previous_turn_hash              blob,
    api_key_hash                    text,
    response_status                 integer,
    response_time_ms                integer     NOT NULL,
    first_byte_ms                   integer,
    first_token_ms                  integer,
    streaming                       integer,
    input_tokens                    integer,              -- from no cache
    output_tokens                   integer,
    cache_read_input_tokens         integer,
    cache_creation_input_tokens     integer,
    cache_creation_1h_input_tokens  integer,
    reasoning_tokens                integer,
    usage_source                    text        NOT NULL, -- reported, partial or none
    usage_data                      text,                 -- the provider's own object
    billed                          text,                 -- each sampling, where the sum is not the bill
    cost_picos                      integer,              -- NULL: a price is not known
    cost_usd                        real        GENERATED ALWAYS AS (cost_picos / 1e12) VIRTUAL,
    cache_status                    text,
    saved_input_tokens              integer,
    saved_output_tokens             integer,
    saved_cache_read_input_tokens   integer,
    saved_cache_creation_input_tokens integer,
    saved_cost_picos                integer,
    saved_cost_usd                  real        GENERATED ALWAYS AS (saved_cost_picos / 1e12) VIRTUAL,
    upstream                        text,
    server                          text,
    attempts                        integer     NOT NULL,
    outcome                         text        NOT NULL,
    error_type                      text,
    stop_reason                     text,
    request_bytes                   integer     NOT NULL,
    response_bytes                  integer     NOT NULL,
    client_ip                       text,
    upstream_request_id             text,
    answer_id                       text,
    service_tier                    text,
    inference_geo                   text,
    speed                           text,
    web_search_requests             integer,
    web_fetch_requests              integer,
    -- what Claude Nexus calls them
    request_id                      text        GENERATED ALWAYS AS (id) VIRTUAL,
    "timestamp"                     text        GENERATED ALWAYS AS (created_at) VIRTUAL,
    duration_ms                     integer     GENERATED ALWAYS AS (response_time_ms) VIRTUAL,
    PRIMARY KEY (id, created_at)
) STRICT;

CREATE INDEX idx_api_requests_created_at ON api_requests (created_at);
CREATE INDEX idx_api_requests_domain ON api_requests (domain);
CREATE INDEX idx_api_requests_conversation ON api_requests (conversation_id, created_at);
CREATE INDEX idx_api_requests_turn ON api_requests (turn_hash) WHERE turn_hash IS NOT NULL;

-- Bodies live apart, so that they can be deleted long before their rows.
CREATE TABLE api_request_bodies (
    id                              text        NOT NULL,
    created_at                      text        NOT NULL, -- of the request
    revision                        integer     NOT NULL,
    request_body                    blob,
    request_body_encoding           text,
    request_body_truncated          integer,
    response_body                   blob,
    response_body_encoding          text,
    response_body_truncated         integer,
    PRIMARY KEY (id, created_at)
) STRICT;
CREATE INDEX idx_api_request_bodies_created_at ON api_request_bodies (created_at);

CREATE TABLE streaming_chunks (
    request_id                      text        NOT NULL,
    chunk_index                     integer     NOT NULL,
    created_at                      text        NOT NULL, -- of the request
    "timestamp"                     text        NOT NULL, -- when it came
    data                            blob        NOT NULL,
    token_count                     integer     NOT NULL DEFAULT 0,
    PRIMARY KEY (request_id, chunk_index)
) STRICT;
CREATE INDEX idx_streaming_chunks_created_at ON streaming_chunks (created_at);

-- One row per result of a batch, however often the results are downloaded.
CREATE TABLE batch_results (
    batch_id                        text        NOT NULL,
    custom_id                       text        NOT NULL,
    request_id                      text        NOT NULL, -- the download that told of it first
    created_at                      text        NOT NULL,
    domain                          text        NOT NULL,
    api_key_hash                    text,
    upstream                        text,
    served_model                    text,
    input_tokens                    integer,
    output_tokens                   integer,
    cache_read_input_tokens         integer,
    cache_creation_input_tokens     integer,
    cache_creation_1h_input_tokens  integer,
    reasoning_tokens                integer,
    usage_data                      text,
    billed                          text,
    cost_picos                      integer,
    cost_usd                        real        GENERATED ALWAYS AS (cost_picos / 1e12) VIRTUAL,
    web_search_requests             integer,
    service_tier                    text,
    PRIMARY KEY (batch_id, custom_id)
) STRICT;
CREATE INDEX idx_batch_results_created_at ON batch_results (created_at);

CREATE VIEW conversations AS
SELECT conversation_id AS id,
       min(created_at) AS first_request_at,
       max(created_at) AS last_request_at,
       count(*) AS requests,
       sum(input_tokens) AS input_tokens,
       sum(output_tokens) AS output_tokens,
       sum(cost_picos) / 1e12 AS cost_usd
FROM api_requests
WHERE conversation_id IS NOT NULL
GROUP BY conversation_id;

-- How far numbers are gone with the rows that retention dropped: below them a gap means nothing.
CREATE TABLE ledger_retired (
    instance                        text        NOT NULL PRIMARY KEY,
    sequence                        integer     NOT NULL
);
