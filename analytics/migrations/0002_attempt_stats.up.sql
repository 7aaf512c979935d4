-- Hourly sums, sorted as they are asked: one webhook, a span of hours. The window here matters as much as on attempts:
-- without its own, a batch sent again is dropped there and counted twice here. Sums are of deliveries that events began;
-- what a person had delivered again is counted beside them, so that it neither mends nor spoils a rate.
CREATE TABLE IF NOT EXISTS attempt_stats_hourly (
    store_id String COMMENT 'The tenant',
    webhook_id String COMMENT 'The webhook',
    hour DateTime('UTC') COMMENT 'Start of the hour',
    log_partition UInt32 COMMENT 'Partition of the attempts topic; one per webhook, so that its sink can count again what is its own',
    records SimpleAggregateFunction(sum, UInt64) COMMENT 'Rows of attempts that these sums are of, which the audit counts again',
    attempts SimpleAggregateFunction(sum, UInt64) COMMENT 'HTTP attempts, whatever began them; skips are none',
    retrying SimpleAggregateFunction(sum, UInt64) COMMENT 'Attempts that failed with another to come',
    deliveries SimpleAggregateFunction(sum, UInt64) COMMENT 'Deliveries begun by events: their attempts number 1',
    first_delivered SimpleAggregateFunction(sum, UInt64) COMMENT 'Of those, the ones delivered at attempt 1',
    delivered SimpleAggregateFunction(sum, UInt64) COMMENT 'Deliveries begun by events that ended delivered',
    dead SimpleAggregateFunction(sum, UInt64) COMMENT 'Deliveries begun by events that were given up',
    made_again SimpleAggregateFunction(sum, UInt64) COMMENT 'Resends and replays begun',
    again_delivered SimpleAggregateFunction(sum, UInt64) COMMENT 'Resends and replays that ended delivered',
    again_dead SimpleAggregateFunction(sum, UInt64) COMMENT 'Resends and replays that were given up',
    skipped SimpleAggregateFunction(sum, UInt64) COMMENT 'Records that explain why no call was made: paused, disabled, filter error, cancelled',
    by_event_type SimpleAggregateFunction(sumMap, Map(String, UInt64)) COMMENT 'Deliveries begun by events, by event type',
    by_status SimpleAggregateFunction(sumMap, Map(UInt16, UInt64)) COMMENT 'Attempts by HTTP status; 0 is no answer',
    by_error_kind SimpleAggregateFunction(sumMap, Map(String, UInt64)) COMMENT 'Failed attempts, and deliveries given up without one, by kind',
    by_skip_kind SimpleAggregateFunction(sumMap, Map(String, UInt64)) COMMENT 'Skips by kind',
    response_time AggregateFunction(quantilesTDigestIf(0.5, 0.95, 0.99), Float32, UInt8) COMMENT 'Seconds, of attempts that got an answer',
    queue_wait AggregateFunction(quantilesTDigestIf(0.5, 0.95, 0.99), Float32, UInt8) COMMENT 'Seconds, of attempts'
)
ENGINE = AggregatingMergeTree
PARTITION BY toYYYYMM(hour)
ORDER BY (store_id, webhook_id, hour, log_partition)
TTL hour + toIntervalDay(400)
SETTINGS non_replicated_deduplication_window = 10000
COMMENT 'Sums of attempts per webhook and hour; test calls are left out';

CREATE MATERIALIZED VIEW IF NOT EXISTS attempt_stats_hourly_view TO attempt_stats_hourly AS
SELECT
    store_id,
    webhook_id,
    toStartOfHour(attempted_at) AS hour,
    log_partition,
    count() AS records,
    countIf(attempt > 0) AS attempts,
    countIf(outcome = 'retrying') AS retrying,
    countIf(attempt = 1 AND trigger = 'event') AS deliveries,
    countIf(attempt = 1 AND trigger = 'event' AND outcome = 'delivered') AS first_delivered,
    countIf(trigger = 'event' AND outcome = 'delivered') AS delivered,
    countIf(trigger = 'event' AND outcome = 'dead') AS dead,
    countIf(attempt = 1 AND trigger != 'event') AS made_again,
    countIf(trigger != 'event' AND outcome = 'delivered') AS again_delivered,
    countIf(trigger != 'event' AND outcome = 'dead') AS again_dead,
    countIf(outcome = 'skipped') AS skipped,
    sumMapIf(map(toString(event_type), toUInt64(1)), attempt = 1 AND trigger = 'event') AS by_event_type,
    sumMapIf(map(http_status, toUInt64(1)), attempt > 0) AS by_status,
    sumMapIf(map(toString(error_kind), toUInt64(1)), error_kind != '' AND outcome != 'skipped') AS by_error_kind,
    sumMapIf(map(toString(error_kind), toUInt64(1)), outcome = 'skipped') AS by_skip_kind,
    quantilesTDigestIfState(0.5, 0.95, 0.99)(toFloat32(response_time_us / 1000000), http_status > 0) AS response_time,
    quantilesTDigestIfState(0.5, 0.95, 0.99)(toFloat32(queue_wait_us / 1000000), attempt > 0) AS queue_wait
FROM attempts
WHERE trigger != 'test'
GROUP BY store_id, webhook_id, hour, log_partition;
