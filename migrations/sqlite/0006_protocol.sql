-- How the request came: http/1.0, http/1.1, h2 or websocket. NULL in rows of earlier releases.
ALTER TABLE api_requests ADD COLUMN protocol text;
