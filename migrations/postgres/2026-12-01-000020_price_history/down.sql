DROP TABLE price_history;
DELETE FROM checkpoints WHERE task = 'price-history';
