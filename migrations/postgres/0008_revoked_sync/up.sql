-- Which tokens a device came with, so that they can be refused once it is revoked. Of a token there is its mark alone.

CREATE TABLE ryzed.tokens (
    user_id uuid NOT NULL,
    device_id text NOT NULL,
    -- SHA-256 of what the token says, or of the session that it was refreshed from.
    mark text NOT NULL,
    used_at timestamptz NOT NULL,
    -- From then on nobody has to be kept from using it.
    expires_at timestamptz NOT NULL,
    -- The device was revoked since.
    is_barred boolean NOT NULL DEFAULT FALSE,
    PRIMARY KEY (user_id, mark, device_id)
);
CREATE INDEX tokens_expires_at ON ryzed.tokens (expires_at);

ALTER TABLE ryzed.devices
    -- When the device was last revoked; stays when it is allowed again.
    ADD COLUMN barred_at timestamptz,
    -- Until then some token that it came with may be alive and no longer be known: so every older one of the person counts as such.
    ADD COLUMN lost_until timestamptz;
CREATE INDEX devices_barred ON ryzed.devices (user_id) WHERE revoked_at IS NOT NULL OR barred_at IS NOT NULL;

-- Nobody has noted until now what a device came with. Most tokens do not live longer than this.
UPDATE ryzed.devices SET barred_at = revoked_at, lost_until = coalesce(revoked_at, now()) + interval '30 days';

-- Why a token, or the device that it is used by, is refused: `device` is revoked; the `token` was used by a revoked device, or
-- names one, or is of its session; the device was allowed again, and the token is of an `age` before that. NULL when nothing
-- speaks against it. `issued` is in seconds since 1970; a token that does not say it is older than anything. Without a token
-- there is only the device to refuse.
CREATE FUNCTION ryzed.refusal(person uuid, device text, named text, token text, session text, issued bigint) RETURNS text
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET enable_seqscan = off SET jit = off AS $$
DECLARE
    severity integer;
BEGIN
    -- Most people have never revoked one.
    IF NOT EXISTS (SELECT FROM ryzed.devices d WHERE d.user_id = person
        AND (d.revoked_at IS NOT NULL OR d.barred_at IS NOT NULL)) THEN
        RETURN NULL;
    END IF;
    SELECT max(CASE
        WHEN d.device_id = device AND d.revoked_at IS NOT NULL THEN 3
        WHEN d.is_older AND (d.device_id = named OR d.lost_until > now()) THEN 2
        WHEN EXISTS (SELECT FROM ryzed.tokens t WHERE t.user_id = person AND t.device_id = d.device_id
            AND (t.mark = token AND (t.is_barred OR d.is_older)
                OR t.mark = session AND (d.revoked_at IS NOT NULL OR d.is_older))) THEN 2
        WHEN d.device_id = device AND d.is_older THEN 1
        ELSE 0 END)
    INTO severity
    FROM (
        SELECT *, token IS NOT NULL AND (issued IS NULL
            OR issued <= extract(epoch FROM date_trunc('second', greatest(x.revoked_at, x.barred_at)))) AS is_older
        FROM ryzed.devices x WHERE x.user_id = person AND (x.revoked_at IS NOT NULL OR x.barred_at IS NOT NULL)
    ) d;
    RETURN (ARRAY['age', 'token', 'device'])[severity];
END $$;

-- Ends the caller's transaction at its beginning when its token is refused.
CREATE FUNCTION ryzed.admit(device text, named text, token text, session text, issued bigint) RETURNS void
LANGUAGE plpgsql AS $$
DECLARE
    refused CONSTANT text := ryzed.refusal(auth.uid(), device, named, token, session, issued);
BEGIN
    IF refused IS NOT NULL THEN
        RAISE insufficient_privilege USING MESSAGE = 'ryzed refuses for its ' || refused;
    END IF;
END $$;

REVOKE ALL ON FUNCTION ryzed.refusal(uuid, text, text, text, text, bigint), ryzed.admit(text, text, text, text, bigint) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION ryzed.refusal(uuid, text, text, text, text, bigint), ryzed.admit(text, text, text, text, bigint)
    TO ryzed_daemon;
GRANT SELECT, INSERT, UPDATE, DELETE ON ryzed.tokens TO ryzed_daemon;
ALTER TABLE ryzed.tokens ENABLE ROW LEVEL SECURITY;
CREATE POLICY own ON ryzed.tokens TO ryzed_daemon
    USING (user_id = (SELECT auth.uid()) OR (SELECT ryzed.is_daemon()));
