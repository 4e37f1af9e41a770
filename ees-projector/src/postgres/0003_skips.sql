ALTER TABLE ees.projections ADD COLUMN skips text; -- JSON
