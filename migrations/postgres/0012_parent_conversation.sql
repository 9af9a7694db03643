-- The conversation that started this one, where it is a subagent's.
ALTER TABLE api_requests ADD COLUMN parent_conversation_id uuid;
