-- The CRC-32 of what the committer gives. NULL in rows from before: their texts are looked at whenever they are read.
ALTER TABLE ees_store.changesets ADD COLUMN checksum bigint;

-- The functions without checksums stay beside these: servers of the version before still call them while they are
-- replaced one by one.

-- Appends a batch: runs of commits, each run to one stream, each stream once. A run is appended whole or not at all.
--
-- What is refused is only marked here, with the stream's tail; why, and with which words, is decided by the caller
-- from that tail.
CREATE FUNCTION ees_store.append(
    run_stream text[], run_expected bigint[], run_by_event boolean[], run_type text[],
    commit_run integer[], commit_nth bigint[], commit_events_before bigint[], commit_event_count bigint[],
    commit_time bigint[], commit_events text[], commit_metadata text[], commit_checksum bigint[], commit_key bytea[],
    all_or_none boolean, stored_at bigint,
    OUT first_checkpoint bigint, OUT appended bigint,
    OUT run_met boolean[], OUT last_changeset bigint[], OUT last_event bigint[], OUT last_time bigint[],
    OUT known_type text[],
    OUT repeat_of bigint[], OUT repeat_checkpoint bigint[], OUT repeat_changeset bigint[], OUT repeat_same boolean[]
) LANGUAGE plpgsql
SET plan_cache_mode TO force_generic_plan SET enable_seqscan TO off SET jit TO off SET lock_timeout TO '2s'
AS $$
DECLARE
    has_keys boolean := array_length(commit_key, 1) IS NOT NULL;
    typed    boolean;
    place    bigint;
    old      record;
BEGIN
    -- Answered is durable, wherever the database trades that for speed. For the COMMIT, which comes after this function.
    IF current_setting('synchronous_commit') = 'off' THEN
        PERFORM set_config('synchronous_commit', 'on', true);
    END IF;

    -- The one lock, taken before anything is read: checkpoints follow in the order of the commits, without holes,
    -- and nobody waits for anybody else afterwards.
    UPDATE ees_store.log SET next_checkpoint = next_checkpoint + cardinality(commit_run)
        RETURNING next_checkpoint - cardinality(commit_run) INTO first_checkpoint;

    SELECT array_agg(
               coalesce(CASE WHEN r.by_event THEN t.last_event ELSE t.changeset_id END, 0) = r.expected
               AND (r.stream_type IS NULL OR t.changeset_id IS NULL
                    OR t.stream_type IS NOT DISTINCT FROM r.stream_type)
               ORDER BY r.run),
           array_agg(coalesce(t.changeset_id, 0) ORDER BY r.run),
           array_agg(coalesce(t.last_event, 0) ORDER BY r.run),
           array_agg(coalesce(t.timestamp, -9223372036854775808) ORDER BY r.run),
           array_agg(CASE WHEN t.changeset_id IS NULL THEN r.stream_type ELSE t.stream_type END ORDER BY r.run),
           bool_or(coalesce(t.stream_type, r.stream_type) IS NOT NULL)
        INTO run_met, last_changeset, last_event, last_time, known_type, typed
        FROM unnest(run_stream, run_expected, run_by_event, run_type)
                 WITH ORDINALITY AS r (stream_id, expected, by_event, stream_type, run)
        LEFT JOIN LATERAL (
            SELECT c.changeset_id, c.first_event_id + c.event_count - 1 AS last_event, c.timestamp, c.stream_type
            FROM ees_store.changesets c WHERE c.stream_id = r.stream_id ORDER BY c.changeset_id DESC LIMIT 1
        ) t ON true;

    IF has_keys THEN
        SELECT array_agg(k.place), array_agg(s.checkpoint), array_agg(s.changeset_id),
               array_agg(s.events = k.events AND s.metadata = k.metadata)
            INTO repeat_of, repeat_checkpoint, repeat_changeset, repeat_same
            FROM unnest(commit_key, commit_events, commit_metadata)
                     WITH ORDINALITY AS k (key_digest, events, metadata, place)
            JOIN ees_store.idempotency_keys i ON i.key_digest = k.key_digest
            JOIN ees_store.changesets s ON s.checkpoint = i.checkpoint;
        FOREACH place IN ARRAY coalesce(repeat_of, '{}') LOOP
            run_met[commit_run[place]] := false;
        END LOOP;
    END IF;

    appended := 0;
    IF (all_or_none AND NOT (true = ALL (run_met))) OR NOT (true = ANY (run_met)) THEN
        UPDATE ees_store.log SET next_checkpoint = first_checkpoint;
        RETURN;
    END IF;
    INSERT INTO ees_store.changesets (checkpoint, changeset_id, first_event_id, event_count, timestamp, stream_id,
                                      stream_type, events, metadata, checksum)
        SELECT first_checkpoint + row_number() OVER (ORDER BY c.place) - 1,
               last_changeset[c.run] + 1 + c.nth,
               last_event[c.run] + 1 + c.events_before,
               c.event_count,
               least(greatest(c.time, last_time[c.run] + 1 + c.nth), 253402300799999999),
               run_stream[c.run],
               CASE WHEN typed THEN known_type[c.run] END,
               c.events,
               c.metadata,
               c.checksum
        FROM unnest(commit_run, commit_nth, commit_events_before, commit_event_count, commit_time, commit_events,
                    commit_metadata, commit_checksum)
                 WITH ORDINALITY AS c (run, nth, events_before, event_count, time, events, metadata, checksum, place)
        WHERE run_met[c.run];
    GET DIAGNOSTICS appended = ROW_COUNT;
    IF typed THEN
        -- One by one: a join may be planned as a look through the whole table, while that is small.
        FOR old IN
            SELECT r.stream_id, r.stream_type, r.updated_at
            FROM unnest(run_stream, known_type, last_time, last_changeset, run_met)
                     AS r (stream_id, stream_type, updated_at, changeset_id, met)
            WHERE r.met AND r.changeset_id > 0 AND r.stream_type IS NOT NULL
        LOOP
            DELETE FROM ees_store.typed_streams s
                WHERE s.stream_type = old.stream_type AND s.updated_at = old.updated_at AND s.stream_id = old.stream_id;
        END LOOP;
        INSERT INTO ees_store.typed_streams (updated_at, changeset_id, event_id, stream_type, stream_id)
            SELECT DISTINCT ON (c.stream_id) c.timestamp, c.changeset_id, c.first_event_id + c.event_count - 1,
                   c.stream_type, c.stream_id
            FROM ees_store.changesets c
            WHERE c.checkpoint >= first_checkpoint AND c.checkpoint < first_checkpoint + appended
                AND c.stream_type IS NOT NULL
            ORDER BY c.stream_id, c.changeset_id DESC;
    END IF;
    IF has_keys THEN
        INSERT INTO ees_store.idempotency_keys (checkpoint, key_digest, stored_at)
            SELECT n.checkpoint, n.key_digest, append.stored_at
            FROM (
                SELECT first_checkpoint + row_number() OVER (ORDER BY c.place) - 1 AS checkpoint, c.key_digest
                FROM unnest(commit_run, commit_key) WITH ORDINALITY AS c (run, key_digest, place)
                WHERE run_met[c.run]
            ) n
            WHERE n.key_digest IS NOT NULL;
    END IF;
    IF appended < cardinality(commit_run) THEN
        UPDATE ees_store.log SET next_checkpoint = first_checkpoint + appended;
    ELSE
        -- Nobody has to be told why. What is sent before the COMMIT must not fill the way to a process that is frozen: it
        -- would hold the lock.
        last_event := NULL;
        last_time := NULL;
        known_type := NULL;
    END IF;
END $$;

-- Appends one commit without a key: what `append` does, in half the time.
CREATE FUNCTION ees_store.append_one(
    stream text, expected bigint, by_event boolean, new_type text, count bigint, at bigint, events text, metadata text,
    checksum bigint,
    OUT first_checkpoint bigint, OUT met boolean,
    OUT last_changeset bigint, OUT last_event bigint, OUT last_time bigint, OUT known_type text
) LANGUAGE plpgsql
SET plan_cache_mode TO force_generic_plan SET enable_seqscan TO off SET jit TO off SET lock_timeout TO '2s'
AS $$
BEGIN
    IF current_setting('synchronous_commit') = 'off' THEN
        PERFORM set_config('synchronous_commit', 'on', true);
    END IF;

    UPDATE ees_store.log SET next_checkpoint = next_checkpoint + 1
        RETURNING next_checkpoint - 1 INTO first_checkpoint;

    SELECT c.changeset_id, c.first_event_id + c.event_count - 1, c.timestamp, c.stream_type
        INTO last_changeset, last_event, last_time, known_type
        FROM ees_store.changesets c WHERE c.stream_id = stream ORDER BY c.changeset_id DESC LIMIT 1;
    IF last_changeset IS NULL THEN
        last_changeset := 0;
        last_event := 0;
        last_time := -9223372036854775808;
        known_type := new_type;
    END IF;

    met := CASE WHEN by_event THEN last_event ELSE last_changeset END = expected
        AND (new_type IS NULL OR known_type IS NOT DISTINCT FROM new_type);
    IF NOT met THEN
        UPDATE ees_store.log SET next_checkpoint = first_checkpoint;
        RETURN;
    END IF;
    INSERT INTO ees_store.changesets (checkpoint, changeset_id, first_event_id, event_count, timestamp, stream_id,
                                      stream_type, events, metadata, checksum)
        VALUES (first_checkpoint, last_changeset + 1, last_event + 1, count,
                least(greatest(at, last_time + 1), 253402300799999999), stream, known_type, events, metadata,
                checksum);
    IF known_type IS NULL THEN
        RETURN;
    END IF;
    IF last_changeset > 0 THEN
        DELETE FROM ees_store.typed_streams s
            WHERE s.stream_type = known_type AND s.updated_at = last_time AND s.stream_id = stream;
    END IF;
    INSERT INTO ees_store.typed_streams (updated_at, changeset_id, event_id, stream_type, stream_id)
        VALUES (least(greatest(at, last_time + 1), 253402300799999999), last_changeset + 1, last_event + count,
                known_type, stream);
END $$;
