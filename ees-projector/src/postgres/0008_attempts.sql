-- Who began the last attempt of an effect, and until when it may be in progress. NULL: begun by an older version.
ALTER TABLE ees.effects ADD COLUMN worker text, ADD COLUMN busy_until timestamptz;
