CREATE TABLE ees.timers (
    reactor      text COLLATE "C" NOT NULL,
    stream_id    text COLLATE "C" NOT NULL,
    key          text COLLATE "C" NOT NULL,
    id           text NOT NULL,
    due          bigint NOT NULL,        -- microseconds since 1970, UTC
    payload      text NOT NULL,          -- JSON
    changeset_id bigint NOT NULL,
    event_id     bigint NOT NULL,
    set_at       bigint NOT NULL,
    attempts     bigint NOT NULL,
    next_at      bigint NOT NULL,
    error        text,
    PRIMARY KEY (reactor, stream_id, key)
);
CREATE INDEX ON ees.timers (reactor, next_at, stream_id, key);
