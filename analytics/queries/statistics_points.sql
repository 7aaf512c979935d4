-- The sums of `statistics`, one row per hour (step_s 3600) or UTC day (86400) that has any, and one with at_s 0 for all of them; times in
-- seconds. The states of times are merged once, into one for each point, and those again for the whole: merging is what takes time.
WITH points AS (
    SELECT
        toUnixTimestamp(toStartOfInterval(s.hour, toIntervalSecond({step_s:UInt32}), 'UTC')) AS at_s,
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
        quantilesTDigestIfMergeState(0.5, 0.95, 0.99)(s.response_time) AS response_time,
        quantilesTDigestIfMergeState(0.5, 0.95, 0.99)(s.queue_wait) AS queue_wait
    FROM attempt_stats_hourly AS s
    WHERE s.store_id = {store_id:String}
        AND s.webhook_id = {webhook_id:String}
        AND s.hour >= fromUnixTimestamp64Micro({since_us:Int64}, 'UTC')
        AND s.hour < fromUnixTimestamp64Micro({until_us:Int64}, 'UTC')
    GROUP BY at_s
)
SELECT
    at_s,
    sum(p.attempts) AS attempts,
    sum(p.retrying) AS retrying,
    sum(p.deliveries) AS deliveries,
    sum(p.first_delivered) AS first_delivered,
    sum(p.delivered) AS delivered,
    sum(p.dead) AS dead,
    sum(p.made_again) AS made_again,
    sum(p.again_delivered) AS again_delivered,
    sum(p.again_dead) AS again_dead,
    sum(p.skipped) AS skipped,
    sumMap(p.by_event_type) AS by_event_type,
    sumMap(p.by_status) AS by_status,
    sumMap(p.by_error_kind) AS by_error_kind,
    sumMap(p.by_skip_kind) AS by_skip_kind,
    quantilesTDigestIfMerge(0.5, 0.95, 0.99)(p.response_time) AS response_time_s,
    quantilesTDigestIfMerge(0.5, 0.95, 0.99)(p.queue_wait) AS queue_wait_s
FROM points AS p
GROUP BY GROUPING SETS ((at_s), ())
ORDER BY at_s
LIMIT 1000
