CREATE TABLE ees.effects (
    reactor      text COLLATE "C" NOT NULL,
    stream_id    text COLLATE "C" NOT NULL,
    changeset_id bigint NOT NULL,
    event_id     bigint NOT NULL,
    effect       text COLLATE "C" NOT NULL,
    state        text NOT NULL,          -- started, done, failed, parked, discarded
    attempts     bigint NOT NULL,
    since        bigint NOT NULL,        -- microseconds since 1970, UTC
    began_at     bigint NOT NULL,
    ended_at     bigint,
    error        text,
    result       text,                   -- JSON
    PRIMARY KEY (reactor, stream_id, changeset_id, event_id, effect)
) WITH (fillfactor = 70);
CREATE INDEX ON ees.effects (reactor, began_at);
