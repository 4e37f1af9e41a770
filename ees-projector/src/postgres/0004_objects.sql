-- What `create_tables` has made in the schema, by kind and name. NULL: an earlier version of ees made the schema.
ALTER TABLE ees.projections ADD COLUMN objects text[];
