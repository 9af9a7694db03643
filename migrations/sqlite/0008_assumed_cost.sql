-- What budgets counted in the place of the reported cost: where that is not known, or lacks output of an answer that was cut off. NULL
-- where the reported cost is all, the call was free, or no budget held it.
ALTER TABLE api_requests ADD COLUMN assumed_cost_picos integer;
ALTER TABLE api_requests ADD COLUMN assumed_cost_usd real GENERATED ALWAYS AS (assumed_cost_picos / 1e12) VIRTUAL;
