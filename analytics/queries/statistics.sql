-- Sums of a store (no webhook named) or of one of its webhooks over a span of hours; times in seconds.
SELECT
    sum(s.attempts) AS attempts,
    sum(s.retrying) AS retrying,
    sum(s.deliveries) AS deliveries,
    sum(s.first_delivered) AS first_delivered,
    sum(s.delivered) AS delivered,
    sum(s.dead) AS dead,
    sum(s.made_again) AS made_again,
    sum(s.again_delivered) AS again_delivered,
    sum(s.again_dead) AS again_dead,
    sum(s.skipped) AS skipped,
    sumMap(s.by_event_type) AS by_event_type,
    sumMap(s.by_status) AS by_status,
    sumMap(s.by_error_kind) AS by_error_kind,
    sumMap(s.by_skip_kind) AS by_skip_kind,
    quantilesTDigestIfMerge(0.5, 0.95, 0.99)(s.response_time) AS response_time_s,
    quantilesTDigestIfMerge(0.5, 0.95, 0.99)(s.queue_wait) AS queue_wait_s
FROM attempt_stats_hourly AS s
WHERE s.store_id = {store_id:String}
    AND s.webhook_id = {webhook_id:String}
    AND s.hour >= toStartOfHour(fromUnixTimestamp64Micro({since_us:Int64}, 'UTC'))
    AND s.hour < fromUnixTimestamp64Micro({until_us:Int64}, 'UTC')
