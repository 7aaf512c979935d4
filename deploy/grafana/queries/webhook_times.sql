-- Seconds over time: the receiver's answer, and the wait before the first attempt.
SELECT
    $__timeInterval(attempted_at) AS time,
    quantileIf(0.5)(response_time_us / 1000000, http_status > 0) AS response_p50,
    quantileIf(0.99)(response_time_us / 1000000, http_status > 0) AS response_p99,
    quantileIf(0.99)(queue_wait_us / 1000000, attempt = 1) AS wait_p99
FROM attempts
WHERE store_id = ${store:sqlstring} AND webhook_id = ${webhook:sqlstring} AND $__timeFilter(attempted_at) AND attempt > 0
GROUP BY time
ORDER BY time
