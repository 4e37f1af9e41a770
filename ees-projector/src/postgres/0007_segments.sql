-- How far a rebuild by segments has come, as JSON. NULL: the log is read in its order.
ALTER TABLE ees.projections ADD COLUMN segment text;
