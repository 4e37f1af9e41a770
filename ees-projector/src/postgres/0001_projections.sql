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

-- Runs statements that were queued, in their order: each takes its arguments from an array of texts, `$1`.
CREATE FUNCTION ees.run(texts text[], which integer[], arguments text[]) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    next     record;
    name     text;
    -- Planned once, where that pays and where there is a plan.
    planned  boolean[];
    prepared boolean[] := array_fill(false, ARRAY[cardinality(texts)]);
BEGIN
    SELECT array_agg(cardinality(which) >= 8 * cardinality(texts)
                     AND text ~* '^\s*(INSERT|UPDATE|DELETE|MERGE|SELECT|WITH)\M' ORDER BY number)
        INTO planned FROM unnest(texts) WITH ORDINALITY AS all_texts (text, number);
    IF true = ANY (planned) THEN
        -- What a transaction that failed has left: a rollback does not take it along.
        FOR name IN SELECT p.name FROM pg_prepared_statements p WHERE starts_with(p.name, 'ees_queued_') LOOP
            EXECUTE 'DEALLOCATE ' || name;
        END LOOP;
    END IF;
    FOR next IN SELECT * FROM unnest(which, arguments) AS queued (number, arguments) LOOP
        IF NOT planned[next.number] THEN
            EXECUTE texts[next.number] USING next.arguments::text[];
            CONTINUE;
        END IF;
        IF NOT prepared[next.number] THEN
            EXECUTE 'PREPARE ees_queued_' || next.number || '(text[]) AS ' || texts[next.number];
            prepared[next.number] := true;
        END IF;
        EXECUTE 'EXECUTE ees_queued_' || next.number || '(' || quote_literal(next.arguments) || ')';
    END LOOP;
    FOR name IN SELECT 'ees_queued_' || number FROM unnest(prepared) WITH ORDINALITY AS all_texts (is_prepared, number)
                WHERE is_prepared LOOP
        EXECUTE 'DEALLOCATE ' || name;
    END LOOP;
END $$;

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
