-- A tick that corrects another names it; null for an ordinary one. What was
-- wrong stays where it is, so that whoever was told of it can be told why.
ALTER TABLE price_ticks ADD COLUMN corrects BIGINT;
ALTER TABLE price_ticks ADD COLUMN note TEXT;

-- The tick behind the price that a product has, and the price it had before:
-- a correction names the one and is measured against the other.
ALTER TABLE products ADD COLUMN price_seq BIGINT;
ALTER TABLE products ADD COLUMN price_before BIGINT;

-- Of the stock, what is promised to somebody.
ALTER TABLE products ADD COLUMN reserved BIGINT NOT NULL DEFAULT 0 CHECK (reserved >= 0);
-- From where on the merchant calls it low; null for the default.
ALTER TABLE products ADD COLUMN low_stock BIGINT CHECK (low_stock > 0);

UPDATE products SET price_seq = newest.seq
FROM (SELECT product, MAX(seq) AS seq FROM price_ticks GROUP BY product) AS newest
WHERE newest.product = products.id;
