-- What the provider itself says that an answer cost (OpenRouter's `usage.cost`, xAI's `cost_in_usd_ticks`), beside `cost_usd`,
-- which is reckoned from prices. NULL: it did not say. From this version on, `request_type` is `other` where a request is no
-- call to a model.
ALTER TABLE api_requests ADD COLUMN provider_cost_usd numeric;
