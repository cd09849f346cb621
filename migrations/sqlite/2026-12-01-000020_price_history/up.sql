-- The prices that held, by product: copied from price_ticks behind the writing,
-- in steps, up to the position in checkpoints ('price-history'). What was
-- corrected is not in it; the correction stands in its place and at its time.
CREATE TABLE price_history (
    product TEXT NOT NULL,
    observed_at BIGINT NOT NULL,
    seq BIGINT NOT NULL,
    price BIGINT NOT NULL,
    unit TEXT NOT NULL,
    grams_per_unit BIGINT NOT NULL,
    received_at BIGINT NOT NULL,
    source TEXT NOT NULL,
    kind TEXT NOT NULL,
    actor TEXT NOT NULL,
    -- How many prices it stands for, once others were thinned out.
    n BIGINT NOT NULL DEFAULT 1,
    -- 0 as it came, 1 thinned by the hour, 2 by the business day.
    level BIGINT NOT NULL DEFAULT 0,
    PRIMARY KEY (product, observed_at, seq)
) WITHOUT ROWID;
CREATE INDEX price_history_thinning ON price_history (level, observed_at);
