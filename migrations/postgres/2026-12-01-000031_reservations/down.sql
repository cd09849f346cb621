DROP TABLE stock_outflow;
DROP TABLE reservations;
