-- The tables of the event store. Times are milliseconds since 1970 in UTC.
--
-- What is often filtered on has a column of its own type; the rest is the JSON text as it came, because each further
-- column makes a write of a few events dearer. Strings are plain: building dictionaries doubled the price of an insert.
--
-- A trail reads a handful of rows out of every part. Hence the order by set, granules of 512 rows, and a Bloom filter
-- on the set, which tells for the price of one small read that a fresh part does not hold it.
CREATE TABLE IF NOT EXISTS events
(
    set Int64,
    occurred_at Int64,
    id String,
    client_id String,
    type String,
    name LowCardinality(String),
    original_name String,
    received_at Int64,
    source LowCardinality(String),
    dialect String,
    platform String,
    app String,
    session String,
    identifiers String,
    page Tuple(url String, path String, title String, referrer String),
    campaign String,
    device String,
    locale String,
    ip_city String,
    properties String CODEC(ZSTD(1)),
    hit String,
    INDEX by_set set TYPE bloom_filter(0.01) GRANULARITY 1,
    INDEX by_id id TYPE bloom_filter(0.01) GRANULARITY 8
)
ENGINE = MergeTree
PARTITION BY toYYYYMM(toDateTime(intDiv(received_at, 1000), 'UTC'))
PRIMARY KEY (set, occurred_at)
ORDER BY (set, occurred_at, id)
SETTINGS index_granularity = 512, {durable};

CREATE TABLE IF NOT EXISTS traits
(
    set Int64,
    occurred_at Int64,
    event String,
    `order` UInt32,
    operation String,
    name LowCardinality(String),
    value String,
    source LowCardinality(String),
    received_at Int64,
    INDEX by_set set TYPE bloom_filter(0.01) GRANULARITY 1
)
ENGINE = MergeTree
PARTITION BY toYYYYMM(toDateTime(intDiv(received_at, 1000), 'UTC'))
PRIMARY KEY (set, occurred_at)
ORDER BY (set, occurred_at, event, `order`)
SETTINGS index_granularity = 512, {durable};

-- One row, written and read to see that the engine lives.
CREATE TABLE IF NOT EXISTS probes (at Int64)
ENGINE = ReplacingMergeTree ORDER BY tuple();
