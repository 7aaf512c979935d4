-- Sums of a whole store beside those of each webhook, in rows without a webhook: a store with a thousand webhooks has a thousand times
-- fewer states to merge when it asks about all of them. The same view writes both in one block, under one token, so that a batch which is
-- sent again is dropped whole, as before. First the view, then what was there before it: made of the sums, which outlive the rows.
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
GROUP BY GROUPING SETS ((store_id, webhook_id, hour, log_partition), (store_id, hour, log_partition));

ALTER TABLE attempt_stats_hourly COMMENT COLUMN webhook_id 'The webhook; empty: all webhooks of the store together';

DELETE FROM attempt_stats_hourly WHERE webhook_id = '';

INSERT INTO attempt_stats_hourly
SELECT
    s.store_id,
    '' AS whole,
    s.hour,
    s.log_partition,
    sum(s.records),
    sum(s.attempts),
    sum(s.retrying),
    sum(s.deliveries),
    sum(s.first_delivered),
    sum(s.delivered),
    sum(s.dead),
    sum(s.made_again),
    sum(s.again_delivered),
    sum(s.again_dead),
    sum(s.skipped),
    sumMap(s.by_event_type),
    sumMap(s.by_status),
    sumMap(s.by_error_kind),
    sumMap(s.by_skip_kind),
    quantilesTDigestIfMergeState(0.5, 0.95, 0.99)(s.response_time),
    quantilesTDigestIfMergeState(0.5, 0.95, 0.99)(s.queue_wait)
FROM attempt_stats_hourly AS s
WHERE s.webhook_id != ''
GROUP BY s.store_id, s.hour, s.log_partition
SETTINGS async_insert = 0, insert_deduplicate = 0, max_partitions_per_insert_block = 0;
