-- The rule that chose the model, where the client left that to the gateway: `auto/2`, with `; pinned` where the conversation kept it.
ALTER TABLE api_requests ADD COLUMN rule text;
