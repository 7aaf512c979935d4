-- The newest attempts, one a line.
SELECT
    attempted_at,
    event_type,
    attempt,
    outcome,
    http_status,
    error_kind,
    response_time_us / 1000000 AS response_s,
    queue_wait_us / 1000000 AS wait_s,
    delivery_id,
    event_id
FROM attempts
WHERE store_id = ${store:sqlstring} AND webhook_id = ${webhook:sqlstring} AND $__timeFilter(attempted_at)
ORDER BY attempted_at DESC
LIMIT 200
