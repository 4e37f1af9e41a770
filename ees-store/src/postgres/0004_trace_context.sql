-- The trace that a commit belongs to: its header `traceparent`, and after a space `tracestate`. NULL without a trace.
ALTER TABLE ees_store.changesets ADD COLUMN trace_context text;

-- Commits without a trace go on calling the functions that are there, so they take no longer than before. Each of these gets
-- a sister that takes traces too: the same text, with one more parameter and column.
DO $$
DECLARE
    append     text := pg_get_functiondef('ees_store.append(text[], bigint[], boolean[], text[], integer[], bigint[], bigint[],
        bigint[], bigint[], text[], text[], bigint[], bytea[], boolean, bigint)'::regprocedure);
    append_one text := pg_get_functiondef(
        'ees_store.append_one(text, bigint, boolean, text, bigint, bigint, text, text, bigint)'::regprocedure);
BEGIN
    append := replace(append, 'OUT first_checkpoint', 'commit_trace text[], OUT first_checkpoint');
    append := replace(append, 'events, metadata, checksum)', 'events, metadata, checksum, trace_context)');
    append := replace(append, 'c.checksum', 'c.checksum, c.trace');
    append := replace(append, 'commit_checksum)', 'commit_checksum, commit_trace)');
    append := replace(append, 'checksum, place)', 'checksum, trace, place)');
    EXECUTE append;

    append_one := replace(append_one, 'OUT first_checkpoint', 'trace text, OUT first_checkpoint');
    append_one := replace(append_one, 'events, metadata, checksum)', 'events, metadata, checksum, trace_context)');
    append_one := replace(append_one, 'checksum);', 'checksum, trace);');
    EXECUTE append_one;
END $$;
