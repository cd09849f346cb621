-- What each user was told. The id is the position of the event that told it,
-- so ids grow with time and a page of an inbox never shifts.
CREATE TABLE notifications (
    id INTEGER NOT NULL PRIMARY KEY,
    user_id TEXT NOT NULL,
    kind TEXT NOT NULL,
    title TEXT NOT NULL,
    body TEXT NOT NULL,
    -- The body as it is read aloud.
    speech_text TEXT NOT NULL,
    -- JSON.
    data TEXT NOT NULL,
    links TEXT NOT NULL,
    product TEXT,
    rule_id BIGINT,
    -- When what it tells of was seen; created is when it was told.
    observed_at BIGINT,
    created BIGINT NOT NULL,
    late BOOLEAN NOT NULL,
    read_at BIGINT,
    deleted_at BIGINT
);
CREATE INDEX notifications_user ON notifications (user_id, id);
CREATE INDEX notifications_rule ON notifications (rule_id, created);

-- What is still to be carried out of the house, one row a notification and channel.
CREATE TABLE outbox (
    notification BIGINT NOT NULL REFERENCES notifications (id) ON DELETE CASCADE,
    channel TEXT NOT NULL,
    -- due, until whoever carries it says otherwise.
    state TEXT NOT NULL,
    run_at BIGINT NOT NULL,
    attempts INTEGER NOT NULL,
    PRIMARY KEY (notification, channel)
);
CREATE INDEX outbox_due ON outbox (state, run_at);
