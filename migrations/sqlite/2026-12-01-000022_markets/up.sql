-- What markets told of themselves, each update for good: the log forgets.
CREATE TABLE market_records (
    seq BIGINT NOT NULL PRIMARY KEY,
    market TEXT NOT NULL,
    told_at BIGINT NOT NULL,
    -- As it was written, and what it says: when it begins, and 'day' or 'month'.
    period TEXT,
    begins BIGINT NOT NULL,
    span TEXT NOT NULL,
    volume_kg BIGINT,
    turnover BIGINT,
    average BIGINT,
    -- In hundredths.
    level BIGINT
);
CREATE INDEX market_records_market ON market_records (market, begins);

-- The summary of each market and business day, told once.
CREATE TABLE market_days (
    market TEXT NOT NULL,
    begins BIGINT NOT NULL,
    due BIGINT NOT NULL,
    -- The index in hundredths; what it was, and when, at the anchor it is measured from.
    level BIGINT NOT NULL,
    base BIGINT NOT NULL,
    anchor BIGINT NOT NULL,
    -- How many products the index is of, and how many moved.
    counted BIGINT NOT NULL,
    up BIGINT NOT NULL,
    down BIGINT NOT NULL,
    unchanged BIGINT NOT NULL,
    PRIMARY KEY (market, begins)
);

-- Its newest summary, as it was told.
ALTER TABLE markets ADD COLUMN summary TEXT;
