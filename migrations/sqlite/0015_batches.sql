-- The provider's batch that answered the call, and how long the call waited for it.
ALTER TABLE api_requests ADD COLUMN batch_id text;
ALTER TABLE api_requests ADD COLUMN batch_wait_ms integer;
