-- Seconds per hour: how long receivers took, how long deliveries waited before.
SELECT
    h.time AS time,
    h.response[1] AS response_p50,
    h.response[2] AS response_p95,
    h.response[3] AS response_p99,
    h.waited[3] AS wait_p99
FROM (
    SELECT
        s.hour AS time,
        quantilesTDigestIfMerge(0.5, 0.95, 0.99)(s.response_time) AS response,
        quantilesTDigestIfMerge(0.5, 0.95, 0.99)(s.queue_wait) AS waited
    FROM attempt_stats_hourly AS s
    WHERE s.store_id = ${store:sqlstring} AND s.webhook_id = '' AND s.hour >= toStartOfHour($__fromTime) AND s.hour <= $__toTime
    GROUP BY time
) AS h
ORDER BY time
