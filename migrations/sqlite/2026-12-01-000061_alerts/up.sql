-- Rules of users. Numbers are not used twice: notifications name them.
CREATE TABLE alert_rules (
    id INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
    user_id TEXT NOT NULL,
    -- Grows with each edit that begins the rule anew.
    version BIGINT NOT NULL,
    status TEXT NOT NULL,
    -- JSON: what the rule is. The columns below repeat what it is found by.
    spec TEXT NOT NULL,
    fires BIGINT NOT NULL,
    expires_at BIGINT NOT NULL,
    f_category TEXT,
    f_price_type TEXT,
    f_market TEXT,
    f_merchant TEXT,
    f_origin TEXT,
    f_grade TEXT,
    f_form TEXT,
    f_vintage BIGINT,
    created BIGINT NOT NULL,
    updated BIGINT NOT NULL
);
CREATE INDEX alert_rules_user ON alert_rules (user_id, id);
CREATE INDEX alert_rules_filter ON alert_rules (f_category) WHERE f_category IS NOT NULL;
CREATE INDEX alert_rules_expiry ON alert_rules (expires_at) WHERE status IN ('active', 'paused');

-- A rule on one series: p:PRODUCT (its price), s:PRODUCT (its stock), m:MARKET.
-- It has to be looked at when a value is at or below `below`, at or above
-- `above`, or whatever the value is (every_tick); whatever lies between
-- changes nothing about it. A tick asks the three indexes and no rule besides.
CREATE TABLE alert_instances (
    series TEXT NOT NULL,
    rule_id BIGINT NOT NULL REFERENCES alert_rules (id) ON DELETE CASCADE,
    state TEXT NOT NULL,
    below BIGINT,
    above BIGINT,
    every_tick BIGINT,
    -- Its bounds were made with the grams of the unit.
    weighed BIGINT,
    -- When something happens to it without a tick.
    run_at BIGINT,
    -- The position of the last event that it was looked at for.
    last_seq BIGINT NOT NULL,
    -- JSON: what else it remembers.
    memory TEXT NOT NULL,
    PRIMARY KEY (series, rule_id)
);
CREATE INDEX alert_instances_rule ON alert_instances (rule_id);
CREATE INDEX alert_instances_below ON alert_instances (series, below) WHERE below IS NOT NULL;
CREATE INDEX alert_instances_above ON alert_instances (series, above) WHERE above IS NOT NULL;
CREATE INDEX alert_instances_every ON alert_instances (series, rule_id) WHERE every_tick IS NOT NULL;
CREATE INDEX alert_instances_weighed ON alert_instances (series, rule_id) WHERE weighed IS NOT NULL;
CREATE INDEX alert_instances_due ON alert_instances (run_at) WHERE run_at IS NOT NULL;

-- The last accepted tick of each series that a rule is on.
CREATE TABLE alert_series (
    series TEXT NOT NULL PRIMARY KEY,
    value BIGINT,
    grams BIGINT NOT NULL,
    seq BIGINT NOT NULL,
    at BIGINT NOT NULL,
    observed_at BIGINT NOT NULL
);

-- What fired. One cause fires a rule once on a series, whoever looks at it.
CREATE TABLE alert_firings (
    rule_id BIGINT NOT NULL REFERENCES alert_rules (id) ON DELETE CASCADE,
    version BIGINT NOT NULL,
    series TEXT NOT NULL,
    -- The position of the tick, or the time in milliseconds that a timer was due.
    cause_seq BIGINT NOT NULL,
    cause TEXT NOT NULL,
    value BIGINT,
    threshold BIGINT,
    at BIGINT NOT NULL,
    told_at BIGINT NOT NULL,
    late BOOLEAN NOT NULL,
    PRIMARY KEY (rule_id, version, series, cause_seq)
);
CREATE INDEX alert_firings_rule ON alert_firings (rule_id, at);

-- Who judges now, and how far within one event.
CREATE TABLE alert_monitors (
    name TEXT NOT NULL PRIMARY KEY,
    holder TEXT NOT NULL,
    -- Grows with each new holder.
    token BIGINT NOT NULL,
    until BIGINT NOT NULL,
    -- Of the event after the checkpoint, rules up to this one have been looked at.
    within_rule BIGINT NOT NULL
);

-- Events and rules that could not be judged, and why.
CREATE TABLE alert_poison (
    seq BIGINT NOT NULL,
    rule_id BIGINT NOT NULL,
    error TEXT NOT NULL,
    at BIGINT NOT NULL,
    PRIMARY KEY (seq, rule_id)
);
