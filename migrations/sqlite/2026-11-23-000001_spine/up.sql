-- The one counter behind every position in the log. Whoever appends locks this
-- row until the commit, so positions are committed in the order they were
-- taken, and a transaction rolled back gives its positions back.
CREATE TABLE log_head (
    id INTEGER NOT NULL PRIMARY KEY,
    seq BIGINT NOT NULL,
    -- Names this log: a cursor of another epoch belongs to another history.
    epoch TEXT NOT NULL,
    -- Everything up to here is gone.
    pruned_to BIGINT NOT NULL
);

-- Append-only and clustered by position; topics are found through the block
-- summaries, so a commit touches the end of one table whatever it tells of.
CREATE TABLE events (
    seq INTEGER NOT NULL PRIMARY KEY,
    time BIGINT NOT NULL,
    kind TEXT NOT NULL,
    topics TEXT NOT NULL,
    data TEXT NOT NULL
);

-- Which topics occur in each run of 1,024 positions (hashes, sorted).
CREATE TABLE event_blocks (
    block INTEGER NOT NULL PRIMARY KEY,
    topics BLOB NOT NULL
);

-- How far each background task has read.
CREATE TABLE checkpoints (
    task TEXT NOT NULL PRIMARY KEY,
    seq BIGINT NOT NULL
);

CREATE TABLE api_keys (
    id TEXT NOT NULL PRIMARY KEY,
    hash TEXT NOT NULL UNIQUE,
    role TEXT NOT NULL,
    merchant TEXT,
    note TEXT NOT NULL,
    created BIGINT NOT NULL,
    last_used BIGINT,
    revoked BIGINT
);

CREATE TABLE tickets (
    hash TEXT NOT NULL PRIMARY KEY,
    sub TEXT NOT NULL,
    role TEXT NOT NULL,
    merchant TEXT,
    key_id TEXT,
    caller_expires BIGINT,
    topics TEXT NOT NULL,
    expires BIGINT NOT NULL
);

-- What a write answered, so that the same key is answered the same again.
CREATE TABLE idempotency (
    actor TEXT NOT NULL,
    idem_key TEXT NOT NULL,
    fingerprint TEXT NOT NULL,
    status INTEGER NOT NULL,
    body TEXT NOT NULL,
    created BIGINT NOT NULL,
    PRIMARY KEY (actor, idem_key)
);
CREATE INDEX idempotency_created ON idempotency (created);

CREATE TABLE markets (
    id TEXT NOT NULL PRIMARY KEY,
    name TEXT NOT NULL,
    name_en TEXT NOT NULL,
    city TEXT NOT NULL,
    province TEXT NOT NULL,
    kind TEXT NOT NULL,
    open_days TEXT NOT NULL,
    -- The data of its newest market.updated, as it was told.
    latest TEXT
);

CREATE TABLE products (
    id TEXT NOT NULL PRIMARY KEY,
    merchant TEXT NOT NULL,
    market TEXT NOT NULL REFERENCES markets (id),
    category TEXT NOT NULL,
    name TEXT NOT NULL,
    name_en TEXT,
    brand TEXT,
    variety TEXT,
    recipe TEXT,
    origin TEXT,
    grade TEXT,
    vintage BIGINT,
    batch TEXT,
    form TEXT,
    harvest TEXT,
    storage TEXT,
    note TEXT,
    unit TEXT NOT NULL,
    grams_per_unit BIGINT NOT NULL CHECK (grams_per_unit > 0),
    pieces_per_tong BIGINT,
    tongs_per_case BIGINT,
    grams_per_piece BIGINT,
    price_type TEXT NOT NULL,
    price BIGINT CHECK (price > 0 AND price <= 1000000000000),
    price_at BIGINT,
    stock BIGINT CHECK (stock >= 0),
    stock_at BIGINT,
    status TEXT NOT NULL,
    version BIGINT NOT NULL,
    created BIGINT NOT NULL,
    updated BIGINT NOT NULL
);
CREATE INDEX products_category ON products (category, id);
CREATE INDEX products_market ON products (market, id);
CREATE INDEX products_merchant ON products (merchant, id);

-- Every price a product ever had. Append-only; seq is the event's.
-- No index by product: it would make every price touch a page of its own, where
-- the table grows at its end alone. Who reads histories writes one behind, as
-- event_blocks are.
CREATE TABLE price_ticks (
    seq INTEGER NOT NULL PRIMARY KEY,
    product TEXT NOT NULL,
    price BIGINT NOT NULL CHECK (price > 0 AND price <= 1000000000000),
    unit TEXT NOT NULL,
    grams_per_unit BIGINT NOT NULL,
    observed_at BIGINT NOT NULL,
    received_at BIGINT NOT NULL,
    source TEXT NOT NULL,
    kind TEXT NOT NULL,
    actor TEXT NOT NULL
);

CREATE TABLE stock_ticks (
    seq INTEGER NOT NULL PRIMARY KEY,
    product TEXT NOT NULL,
    quantity BIGINT NOT NULL CHECK (quantity >= 0),
    delta BIGINT,
    received_at BIGINT NOT NULL,
    actor TEXT NOT NULL
);

-- A clearance that is to start, or runs. `due` is when something happens to it
-- next by itself; null when nothing will.
CREATE TABLE clearances (
    product TEXT NOT NULL PRIMARY KEY REFERENCES products (id),
    price BIGINT NOT NULL CHECK (price > 0 AND price <= 1000000000000),
    starts_at BIGINT NOT NULL,
    ends_at BIGINT,
    active BOOLEAN NOT NULL,
    due BIGINT
);
CREATE INDEX clearances_due ON clearances (due);

CREATE TABLE rooms (
    name TEXT NOT NULL PRIMARY KEY,
    created_by TEXT NOT NULL,
    created BIGINT NOT NULL
);
CREATE INDEX rooms_created_by ON rooms (created_by);
-- The markets of the trade; an operator may change them.
INSERT INTO markets (id, name, name_en, city, province, kind, open_days) VALUES
    ('fangcun', '广州芳村茶叶市场', 'Fangcun, Guangzhou', '广州', '广东', 'sales', '1234567'),
    ('xinchang', '新昌中国茶市', 'China Tea Market, Xinchang', '新昌', '浙江', 'origin', '1234567'),
    ('songyang', '松阳浙南茶叶市场', 'Zhenan Tea Market, Songyang', '松阳', '浙江', 'origin', '1234567'),
    ('anxi', '安溪中国茶都', 'China Tea Capital, Anxi', '安溪', '福建', 'origin', '1234567'),
    ('wuyishan', '武夷山茶叶市场', 'Wuyishan Tea Market', '武夷山', '福建', 'origin', '1234567'),
    ('fuding', '福鼎点头白茶市场', 'Diantou White Tea Market, Fuding', '福鼎', '福建', 'origin', '1234567'),
    ('kunming', '昆明雄达茶文化城', 'Xiongda Tea City, Kunming', '昆明', '云南', 'sales', '1234567'),
    ('menghai', '勐海茶叶市场', 'Menghai Tea Market', '勐海', '云南', 'origin', '1234567'),
    ('maliandao', '北京马连道茶城', 'Maliandao, Beijing', '北京', '北京', 'sales', '1234567'),
    ('emeishan', '峨眉山茶叶市场', 'Emeishan Tea Market', '峨眉山', '四川', 'origin', '1234567'),
    ('xinyang', '信阳浉河茶叶市场', 'Shihe Tea Market, Xinyang', '信阳', '河南', 'origin', '1234567'),
    ('meitan', '湄潭西南茶城', 'Southwest Tea City, Meitan', '湄潭', '贵州', 'origin', '1234567'),
    ('hengzhou', '横州茉莉花茶市场', 'Hengzhou Jasmine Tea Market', '横州', '广西', 'origin', '1234567');
