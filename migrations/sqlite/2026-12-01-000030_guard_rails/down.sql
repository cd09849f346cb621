ALTER TABLE products DROP COLUMN low_stock;
ALTER TABLE products DROP COLUMN reserved;
ALTER TABLE products DROP COLUMN price_before;
ALTER TABLE products DROP COLUMN price_seq;
ALTER TABLE price_ticks DROP COLUMN note;
ALTER TABLE price_ticks DROP COLUMN corrects;
