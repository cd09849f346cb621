DROP TABLE alert_poison;
DROP TABLE alert_monitors;
DROP TABLE alert_firings;
DROP TABLE alert_series;
DROP TABLE alert_instances;
DROP TABLE alert_rules;
