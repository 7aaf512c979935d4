-- Hourly sums, sorted as they are asked: one webhook, a span of hours. The window here matters as much as on attempts:
-- without its own, a batch sent again is dropped there and counted twice here.
CREATE TABLE IF NOT EXISTS attempt_stats_hourly (
    store_id String COMMENT 'The tenant',
    webhook_id String COMMENT 'The webhook',
    hour DateTime('UTC') COMMENT 'Start of the hour',
    event_type LowCardinality(String) COMMENT 'Type of the event',
    attempts SimpleAggregateFunction(sum, UInt64) COMMENT 'HTTP attempts, skips not counted',
    delivered SimpleAggregateFunction(sum, UInt64) COMMENT 'Attempts that delivered',
    retrying SimpleAggregateFunction(sum, UInt64) COMMENT 'Attempts that failed with another to come',
    dead SimpleAggregateFunction(sum, UInt64) COMMENT 'Deliveries given up',
    skipped SimpleAggregateFunction(sum, UInt64) COMMENT 'Deliveries not made: paused, disabled, filter error',
    first_attempts SimpleAggregateFunction(sum, UInt64) COMMENT 'Deliveries begun: attempts number 1',
    first_delivered SimpleAggregateFunction(sum, UInt64) COMMENT 'Deliveries that succeeded at attempt 1',
    by_status SimpleAggregateFunction(sumMap, Map(UInt16, UInt64)) COMMENT 'Attempts by HTTP status; 0 is no answer',
    by_error_kind SimpleAggregateFunction(sumMap, Map(String, UInt64)) COMMENT 'Failures and skips by kind',
    response_time AggregateFunction(quantilesTDigestIf(0.5, 0.95, 0.99), Float32, UInt8) COMMENT 'Seconds, of attempts that got an answer',
    queue_wait AggregateFunction(quantilesTDigestIf(0.5, 0.95, 0.99), Float32, UInt8) COMMENT 'Seconds, of attempts'
)
ENGINE = AggregatingMergeTree
PARTITION BY toYYYYMM(hour)
ORDER BY (store_id, webhook_id, hour, event_type)
TTL hour + toIntervalDay(400)
SETTINGS non_replicated_deduplication_window = 10000
COMMENT 'Sums of attempts per webhook, hour and event type; test calls are left out';

CREATE MATERIALIZED VIEW IF NOT EXISTS attempt_stats_hourly_view TO attempt_stats_hourly AS
SELECT
    store_id,
    webhook_id,
    toStartOfHour(attempted_at) AS hour,
    event_type,
    countIf(attempt > 0) AS attempts,
    countIf(outcome = 'delivered') AS delivered,
    countIf(outcome = 'retrying') AS retrying,
    countIf(outcome = 'dead') AS dead,
    countIf(outcome = 'skipped') AS skipped,
    countIf(attempt = 1) AS first_attempts,
    countIf(attempt = 1 AND outcome = 'delivered') AS first_delivered,
    sumMapIf(map(http_status, toUInt64(1)), attempt > 0) AS by_status,
    sumMapIf(map(toString(error_kind), toUInt64(1)), error_kind != '') AS by_error_kind,
    quantilesTDigestIfState(0.5, 0.95, 0.99)(toFloat32(response_time_us / 1000000), http_status > 0) AS response_time,
    quantilesTDigestIfState(0.5, 0.95, 0.99)(toFloat32(queue_wait_us / 1000000), attempt > 0) AS queue_wait
FROM attempts
WHERE trigger != 'test'
GROUP BY store_id, webhook_id, hour, event_type;
