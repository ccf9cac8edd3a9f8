-- The tables of the event store. Times are milliseconds since 1970 in UTC.
--
-- What is filtered on has a column; besides, all of an event is one JSON text, `envelope`. A trail reads a few rows out
-- of every part, and pays for each column of each part, so it reads the key and this text alone. A write pays so too.
-- Strings are plain where they vary: dictionaries for all of them double what an insert costs.
--
-- Hence also the order by set, and granules as small as the few rows that a set has in a part, with blocks to match:
-- what is unpacked beside them is for nothing. A Bloom filter on the set tells for the price of one small read that a
-- fresh part does not hold it.
CREATE TABLE IF NOT EXISTS events
(
    set Int64 SETTINGS (min_compress_block_size = 4096, max_compress_block_size = 131072),
    occurred_at Int64 SETTINGS (min_compress_block_size = 4096, max_compress_block_size = 131072),
    id String SETTINGS (min_compress_block_size = 4096, max_compress_block_size = 131072),
    received_at Int64,
    name LowCardinality(String),
    source LowCardinality(String),
    envelope String CODEC(ZSTD(1)) SETTINGS (min_compress_block_size = 16384, max_compress_block_size = 131072),
    INDEX by_set set TYPE bloom_filter(0.01) GRANULARITY 4,
    INDEX by_id id TYPE bloom_filter(0.01) GRANULARITY 64
)
ENGINE = MergeTree
PARTITION BY toYYYYMM(toDateTime(intDiv(received_at, 1000), 'UTC'))
PRIMARY KEY (set, occurred_at)
ORDER BY (set, occurred_at, id)
SETTINGS index_granularity = 32, {settings};

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
    received_at Int64
)
ENGINE = MergeTree
PARTITION BY toYYYYMM(toDateTime(intDiv(received_at, 1000), 'UTC'))
PRIMARY KEY (set, occurred_at)
ORDER BY (set, occurred_at, event, `order`)
SETTINGS index_granularity = 128, {settings};

-- The events once more, for questions about everybody: in the order of their names, and with each value in a column of
-- its own type, so that a question reads what it asks for. What every event may have is a plain column: a path of JSON
-- costs ten times as much to write. Every question reads whose and when: to unpack these two took as long as to find the
-- person by them, and they pack to a half only.
CREATE TABLE IF NOT EXISTS typed_events
(
    name LowCardinality(String),
    set Int64 CODEC(NONE),
    occurred_at Int64 CODEC(NONE),
    id String,
    received_at Int64,
    source LowCardinality(String),
    type String,
    platform String,
    dialect String,
    session String,
    app_id String,
    app_version String,
    page_url String,
    page_path String,
    page_title String,
    page_referrer String,
    campaign_source String,
    campaign_medium String,
    campaign_name String,
    campaign_term String,
    campaign_content String,
    device_kind String,
    device_os String,
    locale String,
    ip_city String,
    properties JSON(max_dynamic_paths = 256)
)
ENGINE = MergeTree
PARTITION BY toYYYYMM(toDateTime(intDiv(received_at, 1000), 'UTC'))
ORDER BY (name, set, occurred_at, id)
SETTINGS index_granularity = 2048, {settings};

-- The leads of the records store as segments ask for them: a lead's newest row is true. Read it with FINAL.
CREATE TABLE IF NOT EXISTS leads
(
    id String,
    version UInt64,
    subject Int64,
    created_at Int64,
    fields JSON(max_dynamic_paths = 256)
)
ENGINE = ReplacingMergeTree(version)
ORDER BY id
SETTINGS index_granularity = 1024, {settings};

-- Whose the events of each set are, kept after the identity graph by profiles/owners.py: a set's newest row is true, so
-- it is replaced whole. The zero UUID is nobody. Read it with FINAL, or with argMax by the version. `kinds` are those
-- of the identifiers by which its person can be reached.
CREATE TABLE IF NOT EXISTS owners
(
    set Int64,
    version UInt64,
    person UUID,
    starts Array(Int64),
    persons Array(UUID),
    kinds Array(LowCardinality(String))
)
ENGINE = ReplacingMergeTree(version)
ORDER BY set
SETTINGS index_granularity = 128, {settings};

-- The same the other way round, to find a person's sets: those of the past are there too, so `owners` has the last word.
CREATE TABLE IF NOT EXISTS owned
(
    person UUID,
    set Int64,
    version UInt64
)
ENGINE = ReplacingMergeTree(version)
ORDER BY (person, set)
SETTINGS index_granularity = 128, {settings};

-- What was brought up to date here after the schema had grown, by name.
CREATE TABLE IF NOT EXISTS upgrades (name String)
ENGINE = ReplacingMergeTree ORDER BY name
SETTINGS {settings};

-- One row, written and read to see that the engine lives.
CREATE TABLE IF NOT EXISTS probes (at Int64)
ENGINE = ReplacingMergeTree ORDER BY tuple();
