-- Which daemons work on this database, and which devices are connected to each. Neither is worth a write to the log: after a
-- crash of the server both are empty, and every daemon enters itself and its devices again.

CREATE UNLOGGED TABLE ryzed.instances (
    -- Another at each start.
    id uuid PRIMARY KEY,
    -- Where it listens, for people.
    name text NOT NULL,
    started_at timestamptz NOT NULL,
    -- Until when it counts as alive; renewed all the time, by the database's clock.
    alive_until timestamptz NOT NULL,
    -- Whether messages over Redis reach it.
    hears_redis boolean NOT NULL
) WITH (fillfactor = 50);

CREATE UNLOGGED TABLE ryzed.presence (
    user_id uuid NOT NULL,
    device_id text NOT NULL,
    -- Whose socket it has. A row counts only while that one is alive, and goes with it.
    instance uuid NOT NULL REFERENCES ryzed.instances (id) ON DELETE CASCADE,
    -- The socket: tells two of one device apart.
    link bigint NOT NULL,
    device_type text,
    since timestamptz NOT NULL,
    -- Where the device was before: that socket is to be closed.
    former_instance uuid,
    former_link bigint,
    PRIMARY KEY (user_id, device_id)
) WITH (fillfactor = 70);
CREATE INDEX presence_instance ON ryzed.presence (instance);

GRANT SELECT, INSERT, UPDATE, DELETE ON ryzed.instances, ryzed.presence TO ryzed_daemon;
ALTER TABLE ryzed.instances ENABLE ROW LEVEL SECURITY;
ALTER TABLE ryzed.presence ENABLE ROW LEVEL SECURITY;
CREATE POLICY daemon ON ryzed.instances TO ryzed_daemon USING ((SELECT ryzed.is_daemon()));
CREATE POLICY daemon ON ryzed.presence TO ryzed_daemon USING ((SELECT ryzed.is_daemon()));
