-- Times go up to the end of the year 9999; the functions that append cut them off at 22:00 of the day before.
DO $$
DECLARE
    appending regprocedure;
BEGIN
    FOR appending IN
        SELECT p.oid::regprocedure FROM pg_proc p
        WHERE p.pronamespace = 'ees_store'::regnamespace AND p.proname IN ('append', 'append_one')
    LOOP
        EXECUTE replace(pg_get_functiondef(appending), '253402207199999999', '253402300799999999');
    END LOOP;
END $$;
