-- What a user follows on every device.
CREATE TABLE subscriptions (
    user_id TEXT NOT NULL PRIMARY KEY,
    -- Counts the changes: who changes it says which one they have seen.
    version BIGINT NOT NULL,
    -- JSON, as the event that told of the change has it.
    data TEXT NOT NULL,
    updated BIGINT NOT NULL
);
