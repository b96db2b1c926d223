-- How far the time had come that is believed, written down now and then: a clock that leaps is told by it at the next start,
-- whatever times rows were written with meanwhile.
CREATE TABLE sync_clock (
    only_one INTEGER PRIMARY KEY CHECK (only_one = 1),
    believed TEXT NOT NULL
);
