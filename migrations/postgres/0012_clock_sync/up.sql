-- How far the time had come that is believed, written down now and then: a clock that leaps is told by it at the next start,
-- whatever times rows were written with meanwhile.
CREATE TABLE ryzed.clock (
    only_one boolean PRIMARY KEY DEFAULT TRUE CHECK (only_one),
    believed timestamptz NOT NULL
);
GRANT SELECT, INSERT, UPDATE ON ryzed.clock TO ryzed_daemon;
ALTER TABLE ryzed.clock ENABLE ROW LEVEL SECURITY;
CREATE POLICY daemon ON ryzed.clock TO ryzed_daemon USING ((SELECT ryzed.is_daemon()));
