-- What budgets counted for a call whose cost is not known: an answer that does not say what it used, or a call that was cut off before it
-- did. NULL where the cost is known, the call was free, or no budget held it.
ALTER TABLE api_requests ADD COLUMN assumed_cost_usd numeric;
