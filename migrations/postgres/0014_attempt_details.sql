-- Each attempt upstream with its server and its times, where there was more than one.
ALTER TABLE api_requests ADD COLUMN attempt_details json;
