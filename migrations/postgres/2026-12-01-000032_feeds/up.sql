-- How often a merchant means to be heard of, and when they were. `due` is when
-- they will have been silent for too long; null while they are.
CREATE TABLE feeds (
    merchant TEXT NOT NULL PRIMARY KEY,
    cadence_minutes BIGINT NOT NULL CHECK (cadence_minutes > 0),
    last_write BIGINT NOT NULL,
    due BIGINT
);
CREATE INDEX feeds_due ON feeds (due);
