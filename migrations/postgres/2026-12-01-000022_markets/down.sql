ALTER TABLE markets DROP COLUMN summary;
DROP TABLE market_days;
DROP TABLE market_records;
DELETE FROM checkpoints WHERE task = 'market-summary';
