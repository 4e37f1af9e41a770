CREATE TABLE ees.projections (
    name              text COLLATE "C" PRIMARY KEY,
    version           bigint NOT NULL,
    checkpoint        bigint NOT NULL,   -- the one it reads next
    epoch             bigint NOT NULL,
    log_id            text,
    last_checkpoint   bigint,            -- the changeset applied last
    last_stream_id    text,
    last_changeset_id bigint,
    last_timestamp    bigint,            -- microseconds since 1970, UTC
    rebuild_until     bigint,
    pause             text,              -- JSON
    standby           text,              -- JSON: what is to become of a read model that is built beside another
    split             text,              -- JSON: into which partitions its streams are dealt out
    owner             text,              -- the worker that has the lease
    leased_until      timestamptz
) WITH (fillfactor = 50);

CREATE TABLE ees.workers (
    id         text COLLATE "C" NOT NULL,
    projection text COLLATE "C" NOT NULL,
    version    bigint NOT NULL,
    seen_at    timestamptz NOT NULL,
    PRIMARY KEY (projection, id)
);

CREATE TABLE ees.parked_streams (
    projection text COLLATE "C" NOT NULL,
    stream_id  text COLLATE "C" NOT NULL,
    attempts   bigint NOT NULL,
    error      text NOT NULL,
    since      bigint NOT NULL,          -- microseconds since 1970, UTC
    retry_at   bigint NOT NULL,
    PRIMARY KEY (projection, stream_id)
);

CREATE TABLE ees.parked_changesets (
    projection   text COLLATE "C" NOT NULL,
    stream_id    text COLLATE "C" NOT NULL,
    checkpoint   bigint NOT NULL,
    changeset_id bigint NOT NULL,
    PRIMARY KEY (projection, stream_id, checkpoint)
);

CREATE TABLE ees.audit (
    id         bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    projection text COLLATE "C" NOT NULL,
    at         bigint NOT NULL,
    action     text NOT NULL,
    reason     text NOT NULL,
    checkpoint bigint NOT NULL,
    detail     text NOT NULL
);
CREATE INDEX ON ees.audit (projection, id);
