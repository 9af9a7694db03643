-- The tokens that limits counted for the request, by the weights of `rate_limit`: as reported, else as estimated. 0 for a request that
-- counted as one and used none; NULL where no limit counted it.
ALTER TABLE api_requests ADD COLUMN limit_tokens integer;
