-- What of a stock is promised to somebody, and until when.
CREATE TABLE reservations (
    id TEXT NOT NULL PRIMARY KEY,
    product TEXT NOT NULL REFERENCES products (id),
    merchant TEXT NOT NULL,
    quantity BIGINT NOT NULL CHECK (quantity > 0),
    reference TEXT,
    actor TEXT NOT NULL,
    created BIGINT NOT NULL,
    expires BIGINT NOT NULL
);
CREATE INDEX reservations_product ON reservations (product, id);
CREATE INDEX reservations_merchant ON reservations (merchant, id);
CREATE INDEX reservations_expires ON reservations (expires);

-- How much of each product went out on each business day (days since 1970 in
-- Asia/Shanghai): stock_ticks have no index by product.
CREATE TABLE stock_outflow (
    product TEXT NOT NULL,
    day BIGINT NOT NULL,
    quantity BIGINT NOT NULL CHECK (quantity >= 0),
    PRIMARY KEY (product, day)
);
INSERT INTO stock_outflow (product, day, quantity)
SELECT product, (received_at + 28800000) / 86400000, SUM(-delta)
FROM stock_ticks WHERE delta < 0
GROUP BY product, (received_at + 28800000) / 86400000;
