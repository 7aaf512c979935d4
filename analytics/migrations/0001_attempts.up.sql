-- One row per attempt. Sorted by (store, webhook, time) because every question names a store and most name a webhook
-- and a time; partitioned by day so that expiry drops whole parts. The deduplication window makes the sink's tokens count.
CREATE TABLE IF NOT EXISTS attempts (
    store_id String COMMENT 'The tenant; every query names it',
    webhook_id String COMMENT 'The webhook that was called',
    attempted_at DateTime64(6, 'UTC') CODEC(Delta, ZSTD) COMMENT 'When the attempt began, or the skip was decided',
    attempt_id String COMMENT 'Unique per row',
    delivery_id String COMMENT 'One event for one webhook: webhook-id on the wire',
    event_id String COMMENT 'The event that was delivered',
    event_type LowCardinality(String) COMMENT 'Its type, such as order.created',
    trigger LowCardinality(String) COMMENT 'event, resend, replay or test',
    attempt UInt16 COMMENT 'Number of the attempt from 1; 0 is a skip',
    outcome LowCardinality(String) COMMENT 'delivered, retrying, dead or skipped',
    http_status UInt16 COMMENT 'Status of the answer; 0 when there was none',
    error_kind LowCardinality(String) COMMENT 'Why it failed or was skipped; empty when it did not',
    error_detail String COMMENT 'The same in words, at most 256 characters',
    response_time_us Int64 CODEC(ZSTD) COMMENT 'From the start of the attempt to its end',
    queue_wait_us Int64 CODEC(ZSTD) COMMENT 'From when it could have been made to its start',
    next_retry_at DateTime64(6, 'UTC') CODEC(ZSTD) COMMENT 'When the next attempt is due; the epoch when there is none',
    url String CODEC(ZSTD) COMMENT 'Where it was sent',
    request_headers String CODEC(ZSTD) COMMENT 'Headers as sent, one a line, secrets redacted',
    response_headers String CODEC(ZSTD) COMMENT 'Head of the answer, at most 8 KiB',
    response_body String CODEC(ZSTD) COMMENT 'First 16 KiB of the answer, bytes as received',
    source_topic LowCardinality(String) COMMENT 'Where the event lies in Kafka: topic',
    source_partition UInt32 COMMENT 'Partition',
    source_offset UInt64 CODEC(ZSTD) COMMENT 'Offset',
    source_timestamp DateTime64(3, 'UTC') CODEC(Delta, ZSTD) COMMENT 'When the broker took the event',
    dispatcher LowCardinality(String) COMMENT 'The process that made the attempt',
    job_id String CODEC(ZSTD) COMMENT 'The replay job; empty outside one',
    log_partition UInt32 COMMENT 'Where this row lay in the attempts topic: partition',
    log_offset UInt64 CODEC(Delta, ZSTD) COMMENT 'Offset; (log_partition, log_offset) is unique, which the audit checks',
    INDEX delivery_id_index delivery_id TYPE bloom_filter(0.01) GRANULARITY 1,
    INDEX event_id_index event_id TYPE bloom_filter(0.01) GRANULARITY 1
)
ENGINE = MergeTree
PARTITION BY toDate(attempted_at)
ORDER BY (store_id, webhook_id, attempted_at, attempt_id)
TTL toDateTime(attempted_at) + toIntervalDay({retention_days:UInt32})
SETTINGS non_replicated_deduplication_window = 10000, ttl_only_drop_parts = 1
COMMENT 'Every attempt and every skip that needs explaining';
