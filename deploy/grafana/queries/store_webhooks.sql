-- The store's webhooks, worst first.
SELECT
    s.webhook_id AS webhook_id,
    sum(s.deliveries) AS deliveries,
    sum(s.delivered) AS delivered,
    sum(s.dead) AS dead,
    sum(s.retrying) AS retrying,
    sum(s.first_delivered) / nullIf(sum(s.deliveries), 0) AS at_once,
    quantilesTDigestIfMerge(0.5, 0.95, 0.99)(s.response_time)[2] AS response_p95
FROM attempt_stats_hourly AS s
WHERE s.store_id = ${store:sqlstring} AND s.webhook_id != '' AND s.hour >= toStartOfHour($__fromTime) AND s.hour <= $__toTime
GROUP BY webhook_id
ORDER BY dead DESC, retrying DESC, webhook_id
LIMIT 1000
