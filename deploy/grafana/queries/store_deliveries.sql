-- Deliveries per hour: begun, delivered at the first attempt, delivered at all, given up.
SELECT
    s.hour AS time,
    sum(s.deliveries) AS begun,
    sum(s.first_delivered) AS at_once,
    sum(s.delivered) AS delivered,
    sum(s.dead) AS dead
FROM attempt_stats_hourly AS s
WHERE s.store_id = ${store:sqlstring} AND s.webhook_id = '' AND s.hour >= toStartOfHour($__fromTime) AND s.hour <= $__toTime
GROUP BY time
ORDER BY time
