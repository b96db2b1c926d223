-- What a digest says is kept, not counted: of the live rows of each table in each scope how many there are, the sum of their
-- versions, and the two sums that make the hash, see "Digest" in docs/protocol.md. The triggers on sync_changes that keep it are put
-- up by the daemon at each start where they do not stand, and all of it is counted then.
CREATE TABLE sync_sums (
    scope TEXT NOT NULL,
    table_name TEXT NOT NULL,
    rows INTEGER NOT NULL,
    version_sum INTEGER NOT NULL,
    hash_p INTEGER NOT NULL,
    hash_q INTEGER NOT NULL,
    PRIMARY KEY (scope, table_name)
) STRICT, WITHOUT ROWID;
