-- The subagents of a conversation are found by it. Few rows have one.
CREATE INDEX idx_api_requests_parent ON api_requests (parent_conversation_id) WHERE parent_conversation_id IS NOT NULL;
