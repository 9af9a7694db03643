-- Whose call it was: the tenant and the name of the API key, as the plugin that identifies callers knows them; the session and the user,
-- as the client names them. NULL where nobody said.
ALTER TABLE api_requests ADD COLUMN tenant text;
ALTER TABLE api_requests ADD COLUMN key_name text;
ALTER TABLE api_requests ADD COLUMN session_id text;
ALTER TABLE api_requests ADD COLUMN user_id text;
ALTER TABLE batch_results ADD COLUMN tenant text;
ALTER TABLE batch_results ADD COLUMN key_name text;
