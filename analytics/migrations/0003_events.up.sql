-- Which Kafka coordinates an event id has, to read its payload from there. Every attempt of the event writes the same row,
-- merges keep one; readers take any.
CREATE TABLE IF NOT EXISTS events (
    store_id String COMMENT 'The tenant',
    event_id String COMMENT 'Id of the event',
    event_type LowCardinality(String) COMMENT 'Its type',
    source_topic LowCardinality(String) COMMENT 'Topic its bytes lie in',
    source_partition UInt32 COMMENT 'Partition',
    source_offset UInt64 COMMENT 'Offset',
    source_timestamp DateTime64(3, 'UTC') COMMENT 'When the broker took it'
)
ENGINE = ReplacingMergeTree
PARTITION BY toDate(source_timestamp)
ORDER BY (store_id, event_id, source_topic, source_partition, source_offset)
TTL toDateTime(source_timestamp) + toIntervalDay({retention_days:UInt32})
SETTINGS non_replicated_deduplication_window = 10000, ttl_only_drop_parts = 1
COMMENT 'Index of events that were attempted: id to Kafka coordinates, no payload';

CREATE MATERIALIZED VIEW IF NOT EXISTS events_view TO events AS
SELECT DISTINCT store_id, event_id, event_type, source_topic, source_partition, source_offset, source_timestamp
FROM attempts
WHERE source_topic != '';
