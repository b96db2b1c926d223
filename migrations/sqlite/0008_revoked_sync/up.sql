-- Which tokens a device came with, so that they can be refused once it is revoked. Of a token there is its mark alone.

CREATE TABLE sync_tokens (
    user_id TEXT NOT NULL,
    device_id TEXT NOT NULL,
    -- SHA-256 of what the token says, or of the session that it was refreshed from.
    mark TEXT NOT NULL,
    used_at TEXT NOT NULL,
    -- From then on nobody has to be kept from using it.
    expires_at TEXT NOT NULL,
    -- The device was revoked since.
    is_barred INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (user_id, mark, device_id)
) STRICT, WITHOUT ROWID;
CREATE INDEX sync_tokens_expires_at ON sync_tokens (expires_at);

-- When the device was last revoked; stays when it is allowed again.
ALTER TABLE sync_devices ADD COLUMN barred_at TEXT;
-- Until then some token that it came with may be alive and no longer be known: so every older one of the person counts as such.
ALTER TABLE sync_devices ADD COLUMN lost_until TEXT;
CREATE INDEX sync_devices_barred ON sync_devices (user_id) WHERE revoked_at IS NOT NULL OR barred_at IS NOT NULL;

-- Nobody has noted until now what a device came with. Most tokens do not live longer than this.
UPDATE sync_devices SET barred_at = revoked_at,
    lost_until = strftime('%Y-%m-%dT%H:%M:%f000Z', coalesce(revoked_at, 'now'), '+30 days');
