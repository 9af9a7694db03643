-- The trace that a request belongs to, in hexadecimal digits: as its client says (`traceparent`), or begun here. NULL where neither is so.
ALTER TABLE api_requests ADD COLUMN trace_id text;
