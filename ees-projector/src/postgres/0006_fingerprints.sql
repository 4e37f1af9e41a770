-- The fingerprint of the rows, as 32 hexadecimal digits. NULL: the projection keeps none.
ALTER TABLE ees.projections ADD COLUMN fingerprint text;
