ALTER TABLE attempt_stats_hourly_view MODIFY QUERY
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

ALTER TABLE attempt_stats_hourly COMMENT COLUMN webhook_id 'The webhook';

DELETE FROM attempt_stats_hourly WHERE webhook_id = '';
