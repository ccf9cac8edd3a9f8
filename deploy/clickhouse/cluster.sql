-- The event store on a cluster: replicated tables on each shard, and over them tables that are spread over the shards.
-- 事件库集群：每个分片上是复制表，其上是跨分片的分布式表。
--
-- The macros {cluster}, {shard} and {replica} stand in the configuration of each server. Run it once, on one of them:
--     clickhouse-client --multiquery < deploy/clickhouse/cluster.sql
-- Then XUNJI_EVENTS_URL=clickhouse://user:password@any-of-them:8123/xunji, of a user with the role `xunji`.
--
-- Columns, order and settings are those of profiles/events.sql, which says why. Which server a row lies on follows from
-- its set alone, so the number of shards stays what it is: see docs/events-on-clickhouse.md.

CREATE DATABASE IF NOT EXISTS xunji ON CLUSTER '{cluster}';

CREATE TABLE IF NOT EXISTS xunji.events_local ON CLUSTER '{cluster}'
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
ENGINE = ReplicatedMergeTree('/clickhouse/tables/{shard}/xunji/events_local', '{replica}')
PARTITION BY toYYYYMM(toDateTime(intDiv(received_at, 1000), 'UTC'))
PRIMARY KEY (set, occurred_at)
ORDER BY (set, occurred_at, id)
SETTINGS index_granularity = 32,
    replicated_deduplication_window = 100000, replicated_deduplication_window_seconds = 3600,
    fsync_after_insert = 1, fsync_part_directory = 1,
    min_rows_to_fsync_after_merge = 1, min_compressed_bytes_to_fsync_after_merge = 1,
    parts_to_delay_insert = 3000, parts_to_throw_insert = 100000,
    merge_selecting_sleep_ms = 500, max_merge_selecting_sleep_ms = 5000,
    min_age_to_force_merge_seconds = 86400, min_age_to_force_merge_on_partition_only = 1,
    enable_max_bytes_limit_for_min_age_to_force_merge = 1,
    cleanup_delay_period = 1, max_cleanup_delay_period = 5, cleanup_delay_period_random_add = 0;

CREATE TABLE IF NOT EXISTS xunji.traits_local ON CLUSTER '{cluster}'
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
ENGINE = ReplicatedMergeTree('/clickhouse/tables/{shard}/xunji/traits_local', '{replica}')
PARTITION BY toYYYYMM(toDateTime(intDiv(received_at, 1000), 'UTC'))
PRIMARY KEY (set, occurred_at)
ORDER BY (set, occurred_at, event, `order`)
SETTINGS index_granularity = 128,
    replicated_deduplication_window = 100000, replicated_deduplication_window_seconds = 3600,
    fsync_after_insert = 1, fsync_part_directory = 1,
    min_rows_to_fsync_after_merge = 1, min_compressed_bytes_to_fsync_after_merge = 1,
    parts_to_delay_insert = 3000, parts_to_throw_insert = 100000,
    merge_selecting_sleep_ms = 500, max_merge_selecting_sleep_ms = 5000,
    min_age_to_force_merge_seconds = 86400, min_age_to_force_merge_on_partition_only = 1,
    enable_max_bytes_limit_for_min_age_to_force_merge = 1,
    cleanup_delay_period = 1, max_cleanup_delay_period = 5, cleanup_delay_period_random_add = 0;

CREATE TABLE IF NOT EXISTS xunji.typed_events_local ON CLUSTER '{cluster}'
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
ENGINE = ReplicatedMergeTree('/clickhouse/tables/{shard}/xunji/typed_events_local', '{replica}')
PARTITION BY toYYYYMM(toDateTime(intDiv(received_at, 1000), 'UTC'))
ORDER BY (name, set, occurred_at, id)
SETTINGS index_granularity = 2048,
    replicated_deduplication_window = 100000, replicated_deduplication_window_seconds = 3600,
    fsync_after_insert = 1, fsync_part_directory = 1,
    min_rows_to_fsync_after_merge = 1, min_compressed_bytes_to_fsync_after_merge = 1,
    parts_to_delay_insert = 3000, parts_to_throw_insert = 100000,
    merge_selecting_sleep_ms = 500, max_merge_selecting_sleep_ms = 5000,
    min_age_to_force_merge_seconds = 86400, min_age_to_force_merge_on_partition_only = 1,
    enable_max_bytes_limit_for_min_age_to_force_merge = 1,
    cleanup_delay_period = 1, max_cleanup_delay_period = 5, cleanup_delay_period_random_add = 0;

CREATE TABLE IF NOT EXISTS xunji.leads_local ON CLUSTER '{cluster}'
(
    id String,
    version UInt64,
    subject Int64,
    created_at Int64,
    fields JSON(max_dynamic_paths = 256)
)
ENGINE = ReplicatedReplacingMergeTree('/clickhouse/tables/{shard}/xunji/leads_local', '{replica}', version)
ORDER BY id
SETTINGS index_granularity = 1024,
    fsync_after_insert = 1, fsync_part_directory = 1,
    min_rows_to_fsync_after_merge = 1, min_compressed_bytes_to_fsync_after_merge = 1,
    parts_to_delay_insert = 3000, parts_to_throw_insert = 100000,
    merge_selecting_sleep_ms = 500, max_merge_selecting_sleep_ms = 5000,
    min_age_to_force_merge_seconds = 86400, min_age_to_force_merge_on_partition_only = 1,
    enable_max_bytes_limit_for_min_age_to_force_merge = 1,
    cleanup_delay_period = 1, max_cleanup_delay_period = 5, cleanup_delay_period_random_add = 0;

CREATE TABLE IF NOT EXISTS xunji.owners_local ON CLUSTER '{cluster}'
(
    set Int64,
    version UInt64,
    person UUID,
    starts Array(Int64),
    persons Array(UUID),
    kinds Array(LowCardinality(String))
)
ENGINE = ReplicatedReplacingMergeTree('/clickhouse/tables/{shard}/xunji/owners_local', '{replica}', version)
ORDER BY set
SETTINGS index_granularity = 128,
    fsync_after_insert = 1, fsync_part_directory = 1,
    min_rows_to_fsync_after_merge = 1, min_compressed_bytes_to_fsync_after_merge = 1,
    parts_to_delay_insert = 3000, parts_to_throw_insert = 100000,
    merge_selecting_sleep_ms = 500, max_merge_selecting_sleep_ms = 5000,
    min_age_to_force_merge_seconds = 86400, min_age_to_force_merge_on_partition_only = 1,
    enable_max_bytes_limit_for_min_age_to_force_merge = 1,
    cleanup_delay_period = 1, max_cleanup_delay_period = 5, cleanup_delay_period_random_add = 0;

CREATE TABLE IF NOT EXISTS xunji.owned_local ON CLUSTER '{cluster}'
(
    person UUID,
    set Int64,
    version UInt64
)
ENGINE = ReplicatedReplacingMergeTree('/clickhouse/tables/{shard}/xunji/owned_local', '{replica}', version)
ORDER BY (person, set)
SETTINGS index_granularity = 128,
    fsync_after_insert = 1, fsync_part_directory = 1,
    min_rows_to_fsync_after_merge = 1, min_compressed_bytes_to_fsync_after_merge = 1,
    parts_to_delay_insert = 3000, parts_to_throw_insert = 100000,
    merge_selecting_sleep_ms = 500, max_merge_selecting_sleep_ms = 5000,
    min_age_to_force_merge_seconds = 86400, min_age_to_force_merge_on_partition_only = 1,
    enable_max_bytes_limit_for_min_age_to_force_merge = 1,
    cleanup_delay_period = 1, max_cleanup_delay_period = 5, cleanup_delay_period_random_add = 0;

CREATE TABLE IF NOT EXISTS xunji.upgrades_local ON CLUSTER '{cluster}' (name String)
ENGINE = ReplicatedReplacingMergeTree('/clickhouse/tables/{shard}/xunji/upgrades_local', '{replica}') ORDER BY name
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1;

CREATE TABLE IF NOT EXISTS xunji.probes_local ON CLUSTER '{cluster}' (at Int64)
ENGINE = ReplicatedReplacingMergeTree('/clickhouse/tables/{shard}/xunji/probes_local', '{replica}') ORDER BY tuple();

CREATE TABLE IF NOT EXISTS xunji.events ON CLUSTER '{cluster}' AS xunji.events_local
ENGINE = Distributed('{cluster}', 'xunji', 'events_local', set);

CREATE TABLE IF NOT EXISTS xunji.traits ON CLUSTER '{cluster}' AS xunji.traits_local
ENGINE = Distributed('{cluster}', 'xunji', 'traits_local', set);

CREATE TABLE IF NOT EXISTS xunji.typed_events ON CLUSTER '{cluster}' AS xunji.typed_events_local
ENGINE = Distributed('{cluster}', 'xunji', 'typed_events_local', set);

CREATE TABLE IF NOT EXISTS xunji.leads ON CLUSTER '{cluster}' AS xunji.leads_local
ENGINE = Distributed('{cluster}', 'xunji', 'leads_local', sipHash64(id));

CREATE TABLE IF NOT EXISTS xunji.owners ON CLUSTER '{cluster}' AS xunji.owners_local
ENGINE = Distributed('{cluster}', 'xunji', 'owners_local', set);

CREATE TABLE IF NOT EXISTS xunji.owned ON CLUSTER '{cluster}' AS xunji.owned_local
ENGINE = Distributed('{cluster}', 'xunji', 'owned_local', set);

CREATE TABLE IF NOT EXISTS xunji.upgrades ON CLUSTER '{cluster}' AS xunji.upgrades_local
ENGINE = Distributed('{cluster}', 'xunji', 'upgrades_local', rand());

CREATE TABLE IF NOT EXISTS xunji.probes ON CLUSTER '{cluster}' AS xunji.probes_local
ENGINE = Distributed('{cluster}', 'xunji', 'probes_local', rand());

-- A write returns when most replicas of each shard have it. Reads go to the first replica that is up, as writes do, so
-- that what was written is seen.
CREATE SETTINGS PROFILE IF NOT EXISTS xunji ON CLUSTER '{cluster}'
SETTINGS insert_quorum = 'auto', load_balancing = 'in_order', prefer_localhost_replica = 0;

CREATE ROLE IF NOT EXISTS xunji ON CLUSTER '{cluster}' SETTINGS PROFILE 'xunji';

GRANT ON CLUSTER '{cluster}' SELECT, INSERT, ALTER DELETE, ALTER SETTINGS ON xunji.* TO xunji;

GRANT ON CLUSTER '{cluster}' SELECT ON system.* TO xunji;

-- Questions of segments make tables of their own, which live in memory until they are answered.
GRANT ON CLUSTER '{cluster}' CLUSTER, REMOTE, CREATE ARBITRARY TEMPORARY TABLE ON *.* TO xunji;
