-- The plugin that refused a request, and why, in a word; and the route that the request took. NULL where that does not apply.
ALTER TABLE api_requests ADD COLUMN plugin text;
ALTER TABLE api_requests ADD COLUMN reason text;
ALTER TABLE api_requests ADD COLUMN route text;
-- The oldest version of the schema whose releases may write to this one: its steps since have only added what they can leave out.
-- A release that finds a newer version (`PRAGMA user_version`) and no row of it here leaves the database alone.
CREATE TABLE ledger_schema (
    version                         integer     NOT NULL PRIMARY KEY,
    readable_from                   integer     NOT NULL
) STRICT;
