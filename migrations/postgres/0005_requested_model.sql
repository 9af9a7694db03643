-- The model that the client asked for, where the upstream was asked for another: a route's `models` or a fallback renamed it. NULL
-- where it kept its name. `model` has the name that the client asked for in either case.
ALTER TABLE api_requests ADD COLUMN requested_model text;
