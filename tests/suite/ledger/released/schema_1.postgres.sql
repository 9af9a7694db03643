
CREATE TABLE public.api_request_bodies (
    id uuid NOT NULL,
    created_at timestamp with time zone NOT NULL,
    revision integer NOT NULL,
    request_body bytea,
    request_body_encoding text,
    request_body_truncated boolean,
    response_body bytea,
    response_body_encoding text,
    response_body_truncated boolean
)
PARTITION BY RANGE (created_at);

CREATE TABLE public.api_request_bodies_2026_11_28 (
    id uuid NOT NULL,
    created_at timestamp with time zone NOT NULL,
    revision integer NOT NULL,
    request_body bytea,
    request_body_encoding text,
    request_body_truncated boolean,
    response_body bytea,
    response_body_encoding text,
    response_body_truncated boolean
)
WITH (autovacuum_vacuum_scale_factor='0.1');

CREATE TABLE public.api_requests (
    id uuid NOT NULL,
    created_at timestamp with time zone NOT NULL,
    revision integer NOT NULL,
    instance uuid NOT NULL,
    sequence bigint NOT NULL,
    domain text NOT NULL,
    method text NOT NULL,
    path text NOT NULL,
    endpoint text,
    model text,
    request_type text NOT NULL,
    served_model text,
    conversation_id uuid,
    turn_hash bytea,
    previous_turn_hash bytea,
    api_key_hash text,
    response_status integer,
    response_time_ms bigint NOT NULL,
    first_byte_ms bigint,
    first_token_ms bigint,
    streaming boolean,
    input_tokens bigint,
    output_tokens bigint,
    cache_read_input_tokens bigint,
    cache_creation_input_tokens bigint,
    cache_creation_1h_input_tokens bigint,
    reasoning_tokens bigint,
    usage_source text NOT NULL,
    usage_data json,
    billed json,
    cost_usd numeric,
    cache_status text,
    saved_input_tokens bigint,
    saved_output_tokens bigint,
    saved_cache_read_input_tokens bigint,
    saved_cache_creation_input_tokens bigint,
    saved_cost_usd numeric,
    upstream text,
    server text,
    attempts integer NOT NULL,
    outcome text NOT NULL,
    error_type text,
    stop_reason text,
    request_bytes bigint NOT NULL,
    response_bytes bigint NOT NULL,
    client_ip inet,
    upstream_request_id text,
    answer_id text,
    service_tier text,
    inference_geo text,
    speed text,
    web_search_requests bigint,
    web_fetch_requests bigint,
    request_id uuid GENERATED ALWAYS AS (id) STORED,
    "timestamp" timestamp with time zone GENERATED ALWAYS AS (created_at) STORED,
    duration_ms bigint GENERATED ALWAYS AS (response_time_ms) STORED
)
PARTITION BY RANGE (created_at);

CREATE TABLE public.api_requests_2026_11 (
    id uuid NOT NULL,
    created_at timestamp with time zone NOT NULL,
    revision integer NOT NULL,
    instance uuid NOT NULL,
    sequence bigint NOT NULL,
    domain text NOT NULL,
    method text NOT NULL,
    path text NOT NULL,
    endpoint text,
    model text,
    request_type text NOT NULL,
    served_model text,
    conversation_id uuid,
    turn_hash bytea,
    previous_turn_hash bytea,
    api_key_hash text,
    response_status integer,
    response_time_ms bigint NOT NULL,
    first_byte_ms bigint,
    first_token_ms bigint,
    streaming boolean,
    input_tokens bigint,
    output_tokens bigint,
    cache_read_input_tokens bigint,
    cache_creation_input_tokens bigint,
    cache_creation_1h_input_tokens bigint,
    reasoning_tokens bigint,
    usage_source text NOT NULL,
    usage_data json,
    billed json,
    cost_usd numeric,
    cache_status text,
    saved_input_tokens bigint,
    saved_output_tokens bigint,
    saved_cache_read_input_tokens bigint,
    saved_cache_creation_input_tokens bigint,
    saved_cost_usd numeric,
    upstream text,
    server text,
    attempts integer NOT NULL,
    outcome text NOT NULL,
    error_type text,
    stop_reason text,
    request_bytes bigint NOT NULL,
    response_bytes bigint NOT NULL,
    client_ip inet,
    upstream_request_id text,
    answer_id text,
    service_tier text,
    inference_geo text,
    speed text,
    web_search_requests bigint,
    web_fetch_requests bigint,
    request_id uuid GENERATED ALWAYS AS (id) STORED,
    "timestamp" timestamp with time zone GENERATED ALWAYS AS (created_at) STORED,
    duration_ms bigint GENERATED ALWAYS AS (response_time_ms) STORED
)
WITH (autovacuum_vacuum_scale_factor='0.1');

CREATE TABLE public.api_requests_2026_12 (
    id uuid NOT NULL,
    created_at timestamp with time zone NOT NULL,
    revision integer NOT NULL,
    instance uuid NOT NULL,
    sequence bigint NOT NULL,
    domain text NOT NULL,
    method text NOT NULL,
    path text NOT NULL,
    endpoint text,
    model text,
    request_type text NOT NULL,
    served_model text,
    conversation_id uuid,
    turn_hash bytea,
    previous_turn_hash bytea,
    api_key_hash text,
    response_status integer,
    response_time_ms bigint NOT NULL,
    first_byte_ms bigint,
    first_token_ms bigint,
    streaming boolean,
    input_tokens bigint,
    output_tokens bigint,
    cache_read_input_tokens bigint,
    cache_creation_input_tokens bigint,
    cache_creation_1h_input_tokens bigint,
    reasoning_tokens bigint,
    usage_source text NOT NULL,
    usage_data json,
    billed json,
    cost_usd numeric,
    cache_status text,
    saved_input_tokens bigint,
    saved_output_tokens bigint,
    saved_cache_read_input_tokens bigint,
    saved_cache_creation_input_tokens bigint,
    saved_cost_usd numeric,
    upstream text,
    server text,
    attempts integer NOT NULL,
    outcome text NOT NULL,
    error_type text,
    stop_reason text,
    request_bytes bigint NOT NULL,
    response_bytes bigint NOT NULL,
    client_ip inet,
    upstream_request_id text,
    answer_id text,
    service_tier text,
    inference_geo text,
    speed text,
    web_search_requests bigint,
    web_fetch_requests bigint,
    request_id uuid GENERATED ALWAYS AS (id) STORED,
    "timestamp" timestamp with time zone GENERATED ALWAYS AS (created_at) STORED,
    duration_ms bigint GENERATED ALWAYS AS (response_time_ms) STORED
)
WITH (autovacuum_vacuum_scale_factor='0.1');

CREATE TABLE public.api_requests_2027_01 (
    id uuid NOT NULL,
    created_at timestamp with time zone NOT NULL,
    revision integer NOT NULL,
    instance uuid NOT NULL,
    sequence bigint NOT NULL,
    domain text NOT NULL,
    method text NOT NULL,
    path text NOT NULL,
    endpoint text,
    model text,
    request_type text NOT NULL,
    served_model text,
    conversation_id uuid,
    turn_hash bytea,
    previous_turn_hash bytea,
    api_key_hash text,
    response_status integer,
    response_time_ms bigint NOT NULL,
    first_byte_ms bigint,
    first_token_ms bigint,
    streaming boolean,
    input_tokens bigint,
    output_tokens bigint,
    cache_read_input_tokens bigint,
    cache_creation_input_tokens bigint,
    cache_creation_1h_input_tokens bigint,
    reasoning_tokens bigint,
    usage_source text NOT NULL,
    usage_data json,
    billed json,
    cost_usd numeric,
    cache_status text,
    saved_input_tokens bigint,
    saved_output_tokens bigint,
    saved_cache_read_input_tokens bigint,
    saved_cache_creation_input_tokens bigint,
    saved_cost_usd numeric,
    upstream text,
    server text,
    attempts integer NOT NULL,
    outcome text NOT NULL,
    error_type text,
    stop_reason text,
    request_bytes bigint NOT NULL,
    response_bytes bigint NOT NULL,
    client_ip inet,
    upstream_request_id text,
    answer_id text,
    service_tier text,
    inference_geo text,
    speed text,
    web_search_requests bigint,
    web_fetch_requests bigint,
    request_id uuid GENERATED ALWAYS AS (id) STORED,
    "timestamp" timestamp with time zone GENERATED ALWAYS AS (created_at) STORED,
    duration_ms bigint GENERATED ALWAYS AS (response_time_ms) STORED
)
WITH (autovacuum_vacuum_scale_factor='0.1');

CREATE TABLE public.batch_results (
    batch_id text NOT NULL,
    custom_id text NOT NULL,
    request_id uuid NOT NULL,
    created_at timestamp with time zone NOT NULL,
    domain text NOT NULL,
    api_key_hash text,
    upstream text,
    served_model text,
    input_tokens bigint,
    output_tokens bigint,
    cache_read_input_tokens bigint,
    cache_creation_input_tokens bigint,
    cache_creation_1h_input_tokens bigint,
    reasoning_tokens bigint,
    usage_data json,
    billed json,
    cost_usd numeric,
    web_search_requests bigint,
    service_tier text
)
WITH (autovacuum_vacuum_scale_factor='0.1');

CREATE VIEW public.conversations AS
 SELECT api_requests.conversation_id AS id,
    min(api_requests.created_at) AS first_request_at,
    max(api_requests.created_at) AS last_request_at,
    count(*) AS requests,
    sum(api_requests.input_tokens) AS input_tokens,
    sum(api_requests.output_tokens) AS output_tokens,
    sum(api_requests.cost_usd) AS cost_usd
   FROM public.api_requests
  WHERE (api_requests.conversation_id IS NOT NULL)
  GROUP BY api_requests.conversation_id;

CREATE TABLE public.ledger_retired (
    instance uuid NOT NULL,
    sequence bigint NOT NULL
);

CREATE TABLE public.ledger_schema (
    version bigint NOT NULL,
    applied_at timestamp with time zone NOT NULL
);

CREATE TABLE public.ledger_tasks (
    task text NOT NULL,
    done_at timestamp with time zone NOT NULL
);

CREATE TABLE public.streaming_chunks (
    request_id uuid NOT NULL,
    chunk_index integer NOT NULL,
    created_at timestamp with time zone NOT NULL,
    "timestamp" timestamp with time zone NOT NULL,
    data bytea NOT NULL,
    token_count integer DEFAULT 0 NOT NULL
)
WITH (autovacuum_vacuum_scale_factor='0.1');

ALTER TABLE ONLY public.api_request_bodies ATTACH PARTITION public.api_request_bodies_2026_11_28 FOR VALUES FROM ('2026-11-28 00:00:00+00') TO ('2026-11-29 00:00:00+00');

ALTER TABLE ONLY public.api_requests ATTACH PARTITION public.api_requests_2026_11 FOR VALUES FROM ('2026-11-01 00:00:00+00') TO ('2026-12-01 00:00:00+00');

ALTER TABLE ONLY public.api_requests ATTACH PARTITION public.api_requests_2026_12 FOR VALUES FROM ('2026-12-01 00:00:00+00') TO ('2027-01-01 00:00:00+00');

ALTER TABLE ONLY public.api_requests ATTACH PARTITION public.api_requests_2027_01 FOR VALUES FROM ('2027-01-01 00:00:00+00') TO ('2027-02-01 00:00:00+00');

INSERT INTO public.api_request_bodies_2026_11_28 VALUES ('01a22146-a988-70be-ae05-320381cddfb2', '2026-11-28 08:30:08.776168+00', 1, '\x7b226d6f64656c223a22636c617564652d6861696b752d342d35222c226d61785f746f6b656e73223a392c226d65737361676573223a5b7b22726f6c65223a2275736572222c22636f6e74656e74223a22685c7530306539227d5d7d', NULL, false, '\x7b226964223a20226d73675f31222c202274797065223a20226d657373616765222c2022726f6c65223a2022617373697374616e74222c20226d6f64656c223a2022636c617564652d6861696b752d342d35222c2022636f6e74656e74223a205b7b2274797065223a202274657874222c202274657874223a2022685c7530306539227d5d2c202273746f705f726561736f6e223a2022656e645f7475726e222c20227573616765223a207b22696e7075745f746f6b656e73223a20352c20226f75747075745f746f6b656e73223a20372c2022636f7374223a20302e32357d7d', NULL, false);
INSERT INTO public.api_request_bodies_2026_11_28 VALUES ('01a22146-a9b0-75eb-a0db-234d45b6f80b', '2026-11-28 08:30:08.816312+00', 0, '\x7b226d6f64656c223a22636c617564652d6861696b752d342d35222c226d61785f746f6b656e73223a392c2273747265616d223a747275652c226d65737361676573223a5b7b22726f6c65223a2275736572222c22636f6e74656e74223a22685c7530306539227d5d7d', NULL, false, '\x6576656e743a206d6573736167655f73746172740a646174613a207b2274797065223a20226d6573736167655f7374617274222c20226d657373616765223a207b226964223a20226d73675f31222c202274797065223a20226d657373616765222c2022726f6c65223a2022617373697374616e74222c20226d6f64656c223a2022636c617564652d6861696b752d342d35222c2022636f6e74656e74223a205b5d2c202273746f705f726561736f6e223a206e756c6c2c20227573616765223a207b22696e7075745f746f6b656e73223a20352c20226f75747075745f746f6b656e73223a20317d7d7d0a0a6576656e743a20636f6e74656e745f626c6f636b5f64656c74610a646174613a207b2274797065223a2022636f6e74656e745f626c6f636b5f64656c7461222c2022696e646578223a20302c202264656c7461223a207b2274797065223a2022746578745f64656c7461222c202274657874223a202268227d7d0a0a6576656e743a206d6573736167655f64656c74610a646174613a207b2274797065223a20226d6573736167655f64656c7461222c202264656c7461223a207b2273746f705f726561736f6e223a2022656e645f7475726e227d2c20227573616765223a207b226f75747075745f746f6b656e73223a20377d7d0a0a6576656e743a206d6573736167655f73746f700a646174613a207b2274797065223a20226d6573736167655f73746f70227d0a0a', NULL, false);
INSERT INTO public.api_request_bodies_2026_11_28 VALUES ('01a22146-a9ea-7479-95fc-0d846b141c2d', '2026-11-28 08:30:08.874085+00', 0, '\x7b226d6f64656c223a22636c617564652d6861696b752d342d35222c226d61785f746f6b656e73223a392c226d65737361676573223a5b7b22726f6c65223a2275736572222c22636f6e74656e74223a22685c7530306539227d5d7d', NULL, false, '\x7b226964223a20226d73675f31222c202274797065223a20226d657373616765222c2022726f6c65223a2022617373697374616e74222c20226d6f64656c223a2022636c617564652d6861696b752d342d35222c2022636f6e74656e74223a205b7b2274797065223a202274657874222c202274657874223a2022685c7530306539227d5d2c202273746f705f726561736f6e223a2022656e645f7475726e222c20227573616765223a207b22696e7075745f746f6b656e73223a20352c20226f75747075745f746f6b656e73223a20372c2022636f7374223a20302e32357d7d', NULL, false);
INSERT INTO public.api_request_bodies_2026_11_28 VALUES ('01a22146-aa21-72a2-ae45-d05b516a05fb', '2026-11-28 08:30:08.929335+00', 0, '\x7b226d6f64656c223a22636c617564652d6861696b752d342d35222c226d61785f746f6b656e73223a392c2273747265616d223a747275652c226d65737361676573223a5b7b22726f6c65223a2275736572222c22636f6e74656e74223a22685c7530306539227d5d7d', NULL, false, '\x6576656e743a206d6573736167655f73746172740a646174613a207b2274797065223a20226d6573736167655f7374617274222c20226d657373616765223a207b226964223a20226d73675f31222c202274797065223a20226d657373616765222c2022726f6c65223a2022617373697374616e74222c20226d6f64656c223a2022636c617564652d6861696b752d342d35222c2022636f6e74656e74223a205b5d2c202273746f705f726561736f6e223a206e756c6c2c20227573616765223a207b22696e7075745f746f6b656e73223a20352c20226f75747075745f746f6b656e73223a20317d7d7d0a0a6576656e743a20636f6e74656e745f626c6f636b5f64656c74610a646174613a207b2274797065223a2022636f6e74656e745f626c6f636b5f64656c7461222c2022696e646578223a20302c202264656c7461223a207b2274797065223a2022746578745f64656c7461222c202274657874223a202268227d7d0a0a6576656e743a206d6573736167655f64656c74610a646174613a207b2274797065223a20226d6573736167655f64656c7461222c202264656c7461223a207b2273746f705f726561736f6e223a2022656e645f7475726e227d2c20227573616765223a207b226f75747075745f746f6b656e73223a20377d7d0a0a6576656e743a206d6573736167655f73746f700a646174613a207b2274797065223a20226d6573736167655f73746f70227d0a0a', NULL, false);
INSERT INTO public.api_request_bodies_2026_11_28 VALUES ('01a22146-aa7b-75e5-b483-923ef255a5c2', '2026-11-28 08:30:09.019475+00', 0, '\x7b226d6f64656c223a22636c617564652d6861696b752d342d35222c226d61785f746f6b656e73223a392c226d65737361676573223a5b7b22726f6c65223a2275736572222c22636f6e74656e74223a22685c7530306539227d5d7d', NULL, false, '\x7b226964223a20226d73675f31222c202274797065223a20226d657373616765222c2022726f6c65223a2022617373697374616e74222c20226d6f64656c223a2022636c617564652d6861696b752d342d35222c2022636f6e74656e74223a205b7b2274797065223a202274657874222c202274657874223a2022685c7530306539227d5d2c202273746f705f726561736f6e223a2022656e645f7475726e222c20227573616765223a207b22696e7075745f746f6b656e73223a20352c20226f75747075745f746f6b656e73223a20372c2022636f7374223a20302e32357d7d', NULL, false);
INSERT INTO public.api_request_bodies_2026_11_28 VALUES ('01a22146-aa9f-71b3-b51f-5d631079dc89', '2026-11-28 08:30:09.055907+00', 0, '\x7b226d6f64656c223a22636c617564652d6861696b752d342d35222c226d61785f746f6b656e73223a392c2273747265616d223a747275652c226d65737361676573223a5b7b22726f6c65223a2275736572222c22636f6e74656e74223a22685c7530306539227d5d7d', NULL, false, '\x6576656e743a206d6573736167655f73746172740a646174613a207b2274797065223a20226d6573736167655f7374617274222c20226d657373616765223a207b226964223a20226d73675f31222c202274797065223a20226d657373616765222c2022726f6c65223a2022617373697374616e74222c20226d6f64656c223a2022636c617564652d6861696b752d342d35222c2022636f6e74656e74223a205b5d2c202273746f705f726561736f6e223a206e756c6c2c20227573616765223a207b22696e7075745f746f6b656e73223a20352c20226f75747075745f746f6b656e73223a20317d7d7d0a0a6576656e743a20636f6e74656e745f626c6f636b5f64656c74610a646174613a207b2274797065223a2022636f6e74656e745f626c6f636b5f64656c7461222c2022696e646578223a20302c202264656c7461223a207b2274797065223a2022746578745f64656c7461222c202274657874223a202268227d7d0a0a6576656e743a206d6573736167655f64656c74610a646174613a207b2274797065223a20226d6573736167655f64656c7461222c202264656c7461223a207b2273746f705f726561736f6e223a2022656e645f7475726e227d2c20227573616765223a207b226f75747075745f746f6b656e73223a20377d7d0a0a6576656e743a206d6573736167655f73746f700a646174613a207b2274797065223a20226d6573736167655f73746f70227d0a0a', NULL, false);
INSERT INTO public.api_request_bodies_2026_11_28 VALUES ('01a22146-aae1-74fb-bd77-d4c9eb1d96ec', '2026-11-28 08:30:09.121022+00', 0, '\x7b226d6f64656c223a22636c617564652d6861696b752d342d35222c226d61785f746f6b656e73223a392c226d65737361676573223a5b7b22726f6c65223a2275736572222c22636f6e74656e74223a22685c7530306539227d5d7d', NULL, false, '\x7b226964223a20226d73675f31222c202274797065223a20226d657373616765222c2022726f6c65223a2022617373697374616e74222c20226d6f64656c223a2022636c617564652d6861696b752d342d35222c2022636f6e74656e74223a205b7b2274797065223a202274657874222c202274657874223a2022685c7530306539227d5d2c202273746f705f726561736f6e223a2022656e645f7475726e222c20227573616765223a207b22696e7075745f746f6b656e73223a20352c20226f75747075745f746f6b656e73223a20372c2022636f7374223a20302e32357d7d', NULL, false);
INSERT INTO public.api_request_bodies_2026_11_28 VALUES ('01a22146-ab34-768a-8e18-f52226c00ff0', '2026-11-28 08:30:09.20482+00', 0, '\x7b226d6f64656c223a22636c617564652d6861696b752d342d35222c226d61785f746f6b656e73223a392c2273747265616d223a747275652c226d65737361676573223a5b7b22726f6c65223a2275736572222c22636f6e74656e74223a22685c7530306539227d5d7d', NULL, false, '\x6576656e743a206d6573736167655f73746172740a646174613a207b2274797065223a20226d6573736167655f7374617274222c20226d657373616765223a207b226964223a20226d73675f31222c202274797065223a20226d657373616765222c2022726f6c65223a2022617373697374616e74222c20226d6f64656c223a2022636c617564652d6861696b752d342d35222c2022636f6e74656e74223a205b5d2c202273746f705f726561736f6e223a206e756c6c2c20227573616765223a207b22696e7075745f746f6b656e73223a20352c20226f75747075745f746f6b656e73223a20317d7d7d0a0a6576656e743a20636f6e74656e745f626c6f636b5f64656c74610a646174613a207b2274797065223a2022636f6e74656e745f626c6f636b5f64656c7461222c2022696e646578223a20302c202264656c7461223a207b2274797065223a2022746578745f64656c7461222c202274657874223a202268227d7d0a0a6576656e743a206d6573736167655f64656c74610a646174613a207b2274797065223a20226d6573736167655f64656c7461222c202264656c7461223a207b2273746f705f726561736f6e223a2022656e645f7475726e227d2c20227573616765223a207b226f75747075745f746f6b656e73223a20377d7d0a0a6576656e743a206d6573736167655f73746f700a646174613a207b2274797065223a20226d6573736167655f73746f70227d0a0a', NULL, false);

INSERT INTO public.api_requests_2026_11 VALUES ('01a22146-a988-70be-ae05-320381cddfb2', '2026-11-28 08:30:08.776168+00', 1, '01a22146-a3eb-77af-9c55-7bd24d6ea9bb', 1, 'a.example', 'POST', '/shipped-1/v1/messages', 'messages', 'claude-haiku-4-5', 'query_evaluation', 'claude-haiku-4-5', '01a22146-a988-70be-ae05-320381cddfb2', '\x04c5c7ead3510b678bc45ad23b5483fc458919661096137137f0de6a207a32a2', NULL, '85dbe15d75ef9308c7ae0f33c7a324cc', 200, 20, 7, NULL, false, 5, 7, NULL, NULL, NULL, NULL, 'reported', '{"input_tokens": 5, "output_tokens": 7, "cost": 0.25}', NULL, 0.00004, NULL, NULL, NULL, NULL, NULL, NULL, 'a', 'http://127.0.0.1:18999', 1, 'completed', NULL, 'end_turn', 92, 225, '127.0.0.1', 'req_1', 'msg_1', NULL, NULL, NULL, NULL, NULL, DEFAULT, DEFAULT, DEFAULT);
INSERT INTO public.api_requests_2026_11 VALUES ('01a22146-a9b0-75eb-a0db-234d45b6f80b', '2026-11-28 08:30:08.816312+00', 0, '01a22146-a3eb-77af-9c55-7bd24d6ea9bb', 2, 'a.example', 'POST', '/shipped-1-s/v1/messages', 'messages', 'claude-haiku-4-5', 'query_evaluation', 'claude-haiku-4-5', '01a22146-a9b0-75eb-a0db-234d45b6f80b', '\x04c5c7ead3510b678bc45ad23b5483fc458919661096137137f0de6a207a32a2', NULL, '85dbe15d75ef9308c7ae0f33c7a324cc', 200, 47, 3, 47, true, 5, 7, NULL, NULL, NULL, NULL, 'reported', '{"input_tokens":5,"output_tokens":7}', NULL, 0.00004, NULL, NULL, NULL, NULL, NULL, NULL, 'a', 'http://127.0.0.1:18999', 1, 'completed', NULL, 'end_turn', 106, 536, '127.0.0.1', NULL, 'msg_1', NULL, NULL, NULL, NULL, NULL, DEFAULT, DEFAULT, DEFAULT);
INSERT INTO public.api_requests_2026_11 VALUES ('01a22146-a9ea-7479-95fc-0d846b141c2d', '2026-11-28 08:30:08.874085+00', 0, '01a22146-a3eb-77af-9c55-7bd24d6ea9bb', 3, 'a.example', 'POST', '/shipped-2/v1/messages', 'messages', 'claude-haiku-4-5', 'query_evaluation', 'claude-haiku-4-5', '01a22146-a9ea-7479-95fc-0d846b141c2d', '\x04c5c7ead3510b678bc45ad23b5483fc458919661096137137f0de6a207a32a2', NULL, '85dbe15d75ef9308c7ae0f33c7a324cc', 200, 45, 1, NULL, false, 5, 7, NULL, NULL, NULL, NULL, 'reported', '{"input_tokens": 5, "output_tokens": 7, "cost": 0.25}', NULL, 0.00004, NULL, NULL, NULL, NULL, NULL, NULL, 'a', 'http://127.0.0.1:18999', 1, 'completed', NULL, 'end_turn', 92, 225, '127.0.0.1', 'req_1', 'msg_1', NULL, NULL, NULL, NULL, NULL, DEFAULT, DEFAULT, DEFAULT);
INSERT INTO public.api_requests_2026_11 VALUES ('01a22146-aa21-72a2-ae45-d05b516a05fb', '2026-11-28 08:30:08.929335+00', 0, '01a22146-a3eb-77af-9c55-7bd24d6ea9bb', 4, 'a.example', 'POST', '/shipped-2-s/v1/messages', 'messages', 'claude-haiku-4-5', 'query_evaluation', 'claude-haiku-4-5', '01a22146-aa21-72a2-ae45-d05b516a05fb', '\x04c5c7ead3510b678bc45ad23b5483fc458919661096137137f0de6a207a32a2', NULL, '85dbe15d75ef9308c7ae0f33c7a324cc', 200, 48, 1, 48, true, 5, 7, NULL, NULL, NULL, NULL, 'reported', '{"input_tokens":5,"output_tokens":7}', NULL, 0.00004, NULL, NULL, NULL, NULL, NULL, NULL, 'a', 'http://127.0.0.1:18999', 1, 'completed', NULL, 'end_turn', 106, 536, '127.0.0.1', NULL, 'msg_1', NULL, NULL, NULL, NULL, NULL, DEFAULT, DEFAULT, DEFAULT);
INSERT INTO public.api_requests_2026_11 VALUES ('01a22146-aa7b-75e5-b483-923ef255a5c2', '2026-11-28 08:30:09.019475+00', 0, '01a22146-a3eb-77af-9c55-7bd24d6ea9bb', 5, 'a.example', 'POST', '/shipped-3/v1/messages', 'messages', 'claude-haiku-4-5', 'query_evaluation', 'claude-haiku-4-5', '01a22146-aa7b-75e5-b483-923ef255a5c2', '\x04c5c7ead3510b678bc45ad23b5483fc458919661096137137f0de6a207a32a2', NULL, '85dbe15d75ef9308c7ae0f33c7a324cc', 200, 1, 1, NULL, false, 5, 7, NULL, NULL, NULL, NULL, 'reported', '{"input_tokens": 5, "output_tokens": 7, "cost": 0.25}', NULL, 0.00004, NULL, NULL, NULL, NULL, NULL, NULL, 'a', 'http://127.0.0.1:18999', 1, 'completed', NULL, 'end_turn', 92, 225, '127.0.0.1', 'req_1', 'msg_1', NULL, NULL, NULL, NULL, NULL, DEFAULT, DEFAULT, DEFAULT);
INSERT INTO public.api_requests_2026_11 VALUES ('01a22146-aa9f-71b3-b51f-5d631079dc89', '2026-11-28 08:30:09.055907+00', 0, '01a22146-a3eb-77af-9c55-7bd24d6ea9bb', 6, 'a.example', 'POST', '/shipped-3-s/v1/messages', 'messages', 'claude-haiku-4-5', 'query_evaluation', 'claude-haiku-4-5', '01a22146-aa9f-71b3-b51f-5d631079dc89', '\x04c5c7ead3510b678bc45ad23b5483fc458919661096137137f0de6a207a32a2', NULL, '85dbe15d75ef9308c7ae0f33c7a324cc', 200, 43, 1, 43, true, 5, 7, NULL, NULL, NULL, NULL, 'reported', '{"input_tokens":5,"output_tokens":7}', NULL, 0.00004, NULL, NULL, NULL, NULL, NULL, NULL, 'a', 'http://127.0.0.1:18999', 1, 'completed', NULL, 'end_turn', 106, 536, '127.0.0.1', NULL, 'msg_1', NULL, NULL, NULL, NULL, NULL, DEFAULT, DEFAULT, DEFAULT);
INSERT INTO public.api_requests_2026_11 VALUES ('01a22146-aae1-74fb-bd77-d4c9eb1d96ec', '2026-11-28 08:30:09.121022+00', 0, '01a22146-a3eb-77af-9c55-7bd24d6ea9bb', 7, 'a.example', 'POST', '/shipped-4/v1/messages', 'messages', 'claude-haiku-4-5', 'query_evaluation', 'claude-haiku-4-5', '01a22146-aae1-74fb-bd77-d4c9eb1d96ec', '\x04c5c7ead3510b678bc45ad23b5483fc458919661096137137f0de6a207a32a2', NULL, '85dbe15d75ef9308c7ae0f33c7a324cc', 200, 42, 1, NULL, false, 5, 7, NULL, NULL, NULL, NULL, 'reported', '{"input_tokens": 5, "output_tokens": 7, "cost": 0.25}', NULL, 0.00004, NULL, NULL, NULL, NULL, NULL, NULL, 'a', 'http://127.0.0.1:18999', 1, 'completed', NULL, 'end_turn', 92, 225, '127.0.0.1', 'req_1', 'msg_1', NULL, NULL, NULL, NULL, NULL, DEFAULT, DEFAULT, DEFAULT);
INSERT INTO public.api_requests_2026_11 VALUES ('01a22146-ab34-768a-8e18-f52226c00ff0', '2026-11-28 08:30:09.20482+00', 0, '01a22146-a3eb-77af-9c55-7bd24d6ea9bb', 8, 'a.example', 'POST', '/shipped-4-s/v1/messages', 'messages', 'claude-haiku-4-5', 'query_evaluation', 'claude-haiku-4-5', '01a22146-ab34-768a-8e18-f52226c00ff0', '\x04c5c7ead3510b678bc45ad23b5483fc458919661096137137f0de6a207a32a2', NULL, '85dbe15d75ef9308c7ae0f33c7a324cc', 200, 1, 1, 1, true, 5, 7, NULL, NULL, NULL, NULL, 'reported', '{"input_tokens":5,"output_tokens":7}', NULL, 0.00004, NULL, NULL, NULL, NULL, NULL, NULL, 'a', 'http://127.0.0.1:18999', 1, 'completed', NULL, 'end_turn', 106, 536, '127.0.0.1', NULL, 'msg_1', NULL, NULL, NULL, NULL, NULL, DEFAULT, DEFAULT, DEFAULT);
INSERT INTO public.api_requests_2026_11 VALUES ('01a22146-ab6f-7681-8793-4e126551c084', '2026-11-28 08:30:09.263805+00', 1, '01a22146-a3eb-77af-9c55-7bd24d6ea9bb', 9, '127.0.0.1', 'GET', '/shipped-get', NULL, NULL, 'other', NULL, NULL, NULL, NULL, NULL, 501, 24, 1, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, 'none', NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, 'a', 'http://127.0.0.1:18999', 1, 'completed', NULL, NULL, 0, 356, '127.0.0.1', NULL, NULL, NULL, NULL, NULL, NULL, NULL, DEFAULT, DEFAULT, DEFAULT);

INSERT INTO public.ledger_schema VALUES (1, '2026-11-28 08:30:17.879095+00');

INSERT INTO public.streaming_chunks VALUES ('01a22146-a988-70be-ae05-320381cddfb2', 0, '2026-11-28 08:30:08.776168+00', '2026-11-28 08:30:08.783168+00', '\x7b226964223a20226d73675f31222c202274797065223a20226d657373616765222c2022726f6c65223a2022617373697374616e74222c20226d6f64656c223a2022636c617564652d6861696b752d342d35222c2022636f6e74656e74223a205b7b2274797065223a202274657874222c202274657874223a2022685c7530306539227d5d2c202273746f705f726561736f6e223a2022656e645f7475726e222c20227573616765223a207b22696e7075745f746f6b656e73223a20352c20226f75747075745f746f6b656e73223a20372c2022636f7374223a20302e32357d7d', 0);
INSERT INTO public.streaming_chunks VALUES ('01a22146-a9b0-75eb-a0db-234d45b6f80b', 0, '2026-11-28 08:30:08.816312+00', '2026-11-28 08:30:08.862312+00', '\x6576656e743a206d6573736167655f73746172740a646174613a207b2274797065223a20226d6573736167655f7374617274222c20226d657373616765223a207b226964223a20226d73675f31222c202274797065223a20226d657373616765222c2022726f6c65223a2022617373697374616e74222c20226d6f64656c223a2022636c617564652d6861696b752d342d35222c2022636f6e74656e74223a205b5d2c202273746f705f726561736f6e223a206e756c6c2c20227573616765223a207b22696e7075745f746f6b656e73223a20352c20226f75747075745f746f6b656e73223a20317d7d7d0a0a', 0);
INSERT INTO public.streaming_chunks VALUES ('01a22146-a9b0-75eb-a0db-234d45b6f80b', 1, '2026-11-28 08:30:08.816312+00', '2026-11-28 08:30:08.862312+00', '\x6576656e743a20636f6e74656e745f626c6f636b5f64656c74610a646174613a207b2274797065223a2022636f6e74656e745f626c6f636b5f64656c7461222c2022696e646578223a20302c202264656c7461223a207b2274797065223a2022746578745f64656c7461222c202274657874223a202268227d7d0a0a', 0);
INSERT INTO public.streaming_chunks VALUES ('01a22146-a9b0-75eb-a0db-234d45b6f80b', 2, '2026-11-28 08:30:08.816312+00', '2026-11-28 08:30:08.863312+00', '\x6576656e743a206d6573736167655f64656c74610a646174613a207b2274797065223a20226d6573736167655f64656c7461222c202264656c7461223a207b2273746f705f726561736f6e223a2022656e645f7475726e227d2c20227573616765223a207b226f75747075745f746f6b656e73223a20377d7d0a0a', 0);
INSERT INTO public.streaming_chunks VALUES ('01a22146-a9b0-75eb-a0db-234d45b6f80b', 3, '2026-11-28 08:30:08.816312+00', '2026-11-28 08:30:08.863312+00', '\x6576656e743a206d6573736167655f73746f700a646174613a207b2274797065223a20226d6573736167655f73746f70227d0a0a', 0);
INSERT INTO public.streaming_chunks VALUES ('01a22146-a9ea-7479-95fc-0d846b141c2d', 0, '2026-11-28 08:30:08.874085+00', '2026-11-28 08:30:08.919085+00', '\x7b226964223a20226d73675f31222c202274797065223a20226d657373616765222c2022726f6c65223a2022617373697374616e74222c20226d6f64656c223a2022636c617564652d6861696b752d342d35222c2022636f6e74656e74223a205b7b2274797065223a202274657874222c202274657874223a2022685c7530306539227d5d2c202273746f705f726561736f6e223a2022656e645f7475726e222c20227573616765223a207b22696e7075745f746f6b656e73223a20352c20226f75747075745f746f6b656e73223a20372c2022636f7374223a20302e32357d7d', 0);
INSERT INTO public.streaming_chunks VALUES ('01a22146-aa21-72a2-ae45-d05b516a05fb', 0, '2026-11-28 08:30:08.929335+00', '2026-11-28 08:30:08.977335+00', '\x6576656e743a206d6573736167655f73746172740a646174613a207b2274797065223a20226d6573736167655f7374617274222c20226d657373616765223a207b226964223a20226d73675f31222c202274797065223a20226d657373616765222c2022726f6c65223a2022617373697374616e74222c20226d6f64656c223a2022636c617564652d6861696b752d342d35222c2022636f6e74656e74223a205b5d2c202273746f705f726561736f6e223a206e756c6c2c20227573616765223a207b22696e7075745f746f6b656e73223a20352c20226f75747075745f746f6b656e73223a20317d7d7d0a0a', 0);
INSERT INTO public.streaming_chunks VALUES ('01a22146-aa21-72a2-ae45-d05b516a05fb', 1, '2026-11-28 08:30:08.929335+00', '2026-11-28 08:30:08.977335+00', '\x6576656e743a20636f6e74656e745f626c6f636b5f64656c74610a646174613a207b2274797065223a2022636f6e74656e745f626c6f636b5f64656c7461222c2022696e646578223a20302c202264656c7461223a207b2274797065223a2022746578745f64656c7461222c202274657874223a202268227d7d0a0a', 0);
INSERT INTO public.streaming_chunks VALUES ('01a22146-aa21-72a2-ae45-d05b516a05fb', 2, '2026-11-28 08:30:08.929335+00', '2026-11-28 08:30:08.977335+00', '\x6576656e743a206d6573736167655f64656c74610a646174613a207b2274797065223a20226d6573736167655f64656c7461222c202264656c7461223a207b2273746f705f726561736f6e223a2022656e645f7475726e227d2c20227573616765223a207b226f75747075745f746f6b656e73223a20377d7d0a0a', 0);
INSERT INTO public.streaming_chunks VALUES ('01a22146-aa21-72a2-ae45-d05b516a05fb', 3, '2026-11-28 08:30:08.929335+00', '2026-11-28 08:30:08.977335+00', '\x6576656e743a206d6573736167655f73746f700a646174613a207b2274797065223a20226d6573736167655f73746f70227d0a0a', 0);
INSERT INTO public.streaming_chunks VALUES ('01a22146-aa7b-75e5-b483-923ef255a5c2', 0, '2026-11-28 08:30:09.019475+00', '2026-11-28 08:30:09.020475+00', '\x7b226964223a20226d73675f31222c202274797065223a20226d657373616765222c2022726f6c65223a2022617373697374616e74222c20226d6f64656c223a2022636c617564652d6861696b752d342d35222c2022636f6e74656e74223a205b7b2274797065223a202274657874222c202274657874223a2022685c7530306539227d5d2c202273746f705f726561736f6e223a2022656e645f7475726e222c20227573616765223a207b22696e7075745f746f6b656e73223a20352c20226f75747075745f746f6b656e73223a20372c2022636f7374223a20302e32357d7d', 0);
INSERT INTO public.streaming_chunks VALUES ('01a22146-aa9f-71b3-b51f-5d631079dc89', 0, '2026-11-28 08:30:09.055907+00', '2026-11-28 08:30:09.098907+00', '\x6576656e743a206d6573736167655f73746172740a646174613a207b2274797065223a20226d6573736167655f7374617274222c20226d657373616765223a207b226964223a20226d73675f31222c202274797065223a20226d657373616765222c2022726f6c65223a2022617373697374616e74222c20226d6f64656c223a2022636c617564652d6861696b752d342d35222c2022636f6e74656e74223a205b5d2c202273746f705f726561736f6e223a206e756c6c2c20227573616765223a207b22696e7075745f746f6b656e73223a20352c20226f75747075745f746f6b656e73223a20317d7d7d0a0a', 0);
INSERT INTO public.streaming_chunks VALUES ('01a22146-aa9f-71b3-b51f-5d631079dc89', 1, '2026-11-28 08:30:09.055907+00', '2026-11-28 08:30:09.098907+00', '\x6576656e743a20636f6e74656e745f626c6f636b5f64656c74610a646174613a207b2274797065223a2022636f6e74656e745f626c6f636b5f64656c7461222c2022696e646578223a20302c202264656c7461223a207b2274797065223a2022746578745f64656c7461222c202274657874223a202268227d7d0a0a', 0);
INSERT INTO public.streaming_chunks VALUES ('01a22146-aa9f-71b3-b51f-5d631079dc89', 2, '2026-11-28 08:30:09.055907+00', '2026-11-28 08:30:09.098907+00', '\x6576656e743a206d6573736167655f64656c74610a646174613a207b2274797065223a20226d6573736167655f64656c7461222c202264656c7461223a207b2273746f705f726561736f6e223a2022656e645f7475726e227d2c20227573616765223a207b226f75747075745f746f6b656e73223a20377d7d0a0a', 0);
INSERT INTO public.streaming_chunks VALUES ('01a22146-aa9f-71b3-b51f-5d631079dc89', 3, '2026-11-28 08:30:09.055907+00', '2026-11-28 08:30:09.098907+00', '\x6576656e743a206d6573736167655f73746f700a646174613a207b2274797065223a20226d6573736167655f73746f70227d0a0a', 0);
INSERT INTO public.streaming_chunks VALUES ('01a22146-aae1-74fb-bd77-d4c9eb1d96ec', 0, '2026-11-28 08:30:09.121022+00', '2026-11-28 08:30:09.163022+00', '\x7b226964223a20226d73675f31222c202274797065223a20226d657373616765222c2022726f6c65223a2022617373697374616e74222c20226d6f64656c223a2022636c617564652d6861696b752d342d35222c2022636f6e74656e74223a205b7b2274797065223a202274657874222c202274657874223a2022685c7530306539227d5d2c202273746f705f726561736f6e223a2022656e645f7475726e222c20227573616765223a207b22696e7075745f746f6b656e73223a20352c20226f75747075745f746f6b656e73223a20372c2022636f7374223a20302e32357d7d', 0);
INSERT INTO public.streaming_chunks VALUES ('01a22146-ab34-768a-8e18-f52226c00ff0', 0, '2026-11-28 08:30:09.20482+00', '2026-11-28 08:30:09.20582+00', '\x6576656e743a206d6573736167655f73746172740a646174613a207b2274797065223a20226d6573736167655f7374617274222c20226d657373616765223a207b226964223a20226d73675f31222c202274797065223a20226d657373616765222c2022726f6c65223a2022617373697374616e74222c20226d6f64656c223a2022636c617564652d6861696b752d342d35222c2022636f6e74656e74223a205b5d2c202273746f705f726561736f6e223a206e756c6c2c20227573616765223a207b22696e7075745f746f6b656e73223a20352c20226f75747075745f746f6b656e73223a20317d7d7d0a0a', 0);
INSERT INTO public.streaming_chunks VALUES ('01a22146-ab34-768a-8e18-f52226c00ff0', 1, '2026-11-28 08:30:09.20482+00', '2026-11-28 08:30:09.20582+00', '\x6576656e743a20636f6e74656e745f626c6f636b5f64656c74610a646174613a207b2274797065223a2022636f6e74656e745f626c6f636b5f64656c7461222c2022696e646578223a20302c202264656c7461223a207b2274797065223a2022746578745f64656c7461222c202274657874223a202268227d7d0a0a', 0);
INSERT INTO public.streaming_chunks VALUES ('01a22146-ab34-768a-8e18-f52226c00ff0', 2, '2026-11-28 08:30:09.20482+00', '2026-11-28 08:30:09.20582+00', '\x6576656e743a206d6573736167655f64656c74610a646174613a207b2274797065223a20226d6573736167655f64656c7461222c202264656c7461223a207b2273746f705f726561736f6e223a2022656e645f7475726e227d2c20227573616765223a207b226f75747075745f746f6b656e73223a20377d7d0a0a', 0);
INSERT INTO public.streaming_chunks VALUES ('01a22146-ab34-768a-8e18-f52226c00ff0', 3, '2026-11-28 08:30:09.20482+00', '2026-11-28 08:30:09.20582+00', '\x6576656e743a206d6573736167655f73746f700a646174613a207b2274797065223a20226d6573736167655f73746f70227d0a0a', 0);

ALTER TABLE ONLY public.api_request_bodies
    ADD CONSTRAINT api_request_bodies_pkey PRIMARY KEY (id, created_at);

ALTER TABLE ONLY public.api_request_bodies_2026_11_28
    ADD CONSTRAINT api_request_bodies_2026_11_28_pkey PRIMARY KEY (id, created_at);

ALTER TABLE ONLY public.api_requests
    ADD CONSTRAINT api_requests_pkey PRIMARY KEY (id, created_at);

ALTER TABLE ONLY public.api_requests_2026_11
    ADD CONSTRAINT api_requests_2026_11_pkey PRIMARY KEY (id, created_at);

ALTER TABLE ONLY public.api_requests_2026_12
    ADD CONSTRAINT api_requests_2026_12_pkey PRIMARY KEY (id, created_at);

ALTER TABLE ONLY public.api_requests_2027_01
    ADD CONSTRAINT api_requests_2027_01_pkey PRIMARY KEY (id, created_at);

ALTER TABLE ONLY public.batch_results
    ADD CONSTRAINT batch_results_pkey PRIMARY KEY (batch_id, custom_id);

ALTER TABLE ONLY public.ledger_retired
    ADD CONSTRAINT ledger_retired_pkey PRIMARY KEY (instance);

ALTER TABLE ONLY public.ledger_schema
    ADD CONSTRAINT ledger_schema_pkey PRIMARY KEY (version);

ALTER TABLE ONLY public.ledger_tasks
    ADD CONSTRAINT ledger_tasks_pkey PRIMARY KEY (task);

ALTER TABLE ONLY public.streaming_chunks
    ADD CONSTRAINT streaming_chunks_pkey PRIMARY KEY (request_id, chunk_index);

CREATE INDEX idx_api_requests_conversation ON ONLY public.api_requests USING btree (conversation_id, created_at);

CREATE INDEX api_requests_2026_11_conversation_id_created_at_idx ON public.api_requests_2026_11 USING btree (conversation_id, created_at);

CREATE INDEX idx_api_requests_created_at ON ONLY public.api_requests USING btree (created_at);

CREATE INDEX api_requests_2026_11_created_at_idx ON public.api_requests_2026_11 USING btree (created_at);

CREATE INDEX idx_api_requests_domain ON ONLY public.api_requests USING btree (domain);

CREATE INDEX api_requests_2026_11_domain_idx ON public.api_requests_2026_11 USING btree (domain);

CREATE INDEX idx_api_requests_turn ON ONLY public.api_requests USING btree (turn_hash) WHERE (turn_hash IS NOT NULL);

CREATE INDEX api_requests_2026_11_turn_hash_idx ON public.api_requests_2026_11 USING btree (turn_hash) WHERE (turn_hash IS NOT NULL);

CREATE INDEX api_requests_2026_12_conversation_id_created_at_idx ON public.api_requests_2026_12 USING btree (conversation_id, created_at);

CREATE INDEX api_requests_2026_12_created_at_idx ON public.api_requests_2026_12 USING btree (created_at);

CREATE INDEX api_requests_2026_12_domain_idx ON public.api_requests_2026_12 USING btree (domain);

CREATE INDEX api_requests_2026_12_turn_hash_idx ON public.api_requests_2026_12 USING btree (turn_hash) WHERE (turn_hash IS NOT NULL);

CREATE INDEX api_requests_2027_01_conversation_id_created_at_idx ON public.api_requests_2027_01 USING btree (conversation_id, created_at);

CREATE INDEX api_requests_2027_01_created_at_idx ON public.api_requests_2027_01 USING btree (created_at);

CREATE INDEX api_requests_2027_01_domain_idx ON public.api_requests_2027_01 USING btree (domain);

CREATE INDEX api_requests_2027_01_turn_hash_idx ON public.api_requests_2027_01 USING btree (turn_hash) WHERE (turn_hash IS NOT NULL);

CREATE INDEX idx_batch_results_created_at ON public.batch_results USING btree (created_at);

CREATE INDEX idx_streaming_chunks_created_at ON public.streaming_chunks USING btree (created_at);

ALTER INDEX public.api_request_bodies_pkey ATTACH PARTITION public.api_request_bodies_2026_11_28_pkey;

ALTER INDEX public.idx_api_requests_conversation ATTACH PARTITION public.api_requests_2026_11_conversation_id_created_at_idx;

ALTER INDEX public.idx_api_requests_created_at ATTACH PARTITION public.api_requests_2026_11_created_at_idx;

ALTER INDEX public.idx_api_requests_domain ATTACH PARTITION public.api_requests_2026_11_domain_idx;

ALTER INDEX public.api_requests_pkey ATTACH PARTITION public.api_requests_2026_11_pkey;

ALTER INDEX public.idx_api_requests_turn ATTACH PARTITION public.api_requests_2026_11_turn_hash_idx;

ALTER INDEX public.idx_api_requests_conversation ATTACH PARTITION public.api_requests_2026_12_conversation_id_created_at_idx;

ALTER INDEX public.idx_api_requests_created_at ATTACH PARTITION public.api_requests_2026_12_created_at_idx;

ALTER INDEX public.idx_api_requests_domain ATTACH PARTITION public.api_requests_2026_12_domain_idx;

ALTER INDEX public.api_requests_pkey ATTACH PARTITION public.api_requests_2026_12_pkey;

ALTER INDEX public.idx_api_requests_turn ATTACH PARTITION public.api_requests_2026_12_turn_hash_idx;

ALTER INDEX public.idx_api_requests_conversation ATTACH PARTITION public.api_requests_2027_01_conversation_id_created_at_idx;

ALTER INDEX public.idx_api_requests_created_at ATTACH PARTITION public.api_requests_2027_01_created_at_idx;

ALTER INDEX public.idx_api_requests_domain ATTACH PARTITION public.api_requests_2027_01_domain_idx;

ALTER INDEX public.api_requests_pkey ATTACH PARTITION public.api_requests_2027_01_pkey;

ALTER INDEX public.idx_api_requests_turn ATTACH PARTITION public.api_requests_2027_01_turn_hash_idx;

