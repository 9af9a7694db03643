-- Rows by their `turn_hash`. An index of that column, which is random, changes a page for each row. Here many rows are inserted at a time, in the
-- order of their hashes. A part ends at a size at which such a step still changes a page for several rows. The newest rows are in no part yet:
-- the gateway that wrote them knows them.
CREATE TABLE turns (
    part                            integer     NOT NULL,
    hash                            blob        NOT NULL, -- the first half of `turn_hash`
    request                         integer     NOT NULL, -- the rowid of the request
    PRIMARY KEY (part, hash, request)
) STRICT, WITHOUT ROWID;
CREATE TABLE turn_parts (
    part                            integer     NOT NULL PRIMARY KEY,
    turns                           integer     NOT NULL, -- how many it has
    last_request                    integer     NOT NULL  -- the rowid up to which all requests are in this part, or in an earlier one
) STRICT;
INSERT INTO turns (part, hash, request)
SELECT 0, substr(turn_hash, 1, 16), rowid FROM api_requests WHERE turn_hash IS NOT NULL ORDER BY turn_hash;
INSERT INTO turn_parts (part, turns, last_request)
SELECT 0, (SELECT count(*) FROM turns), coalesce(max(rowid), 0) FROM api_requests;
DROP INDEX idx_api_requests_turn;
