-- The store's sums: what was begun, and the share that was delivered of what is over.
SELECT
    sum(s.deliveries) AS deliveries,
    sum(s.delivered) AS delivered,
    sum(s.dead) AS dead,
    sum(s.delivered) / nullIf(sum(s.delivered) + sum(s.dead), 0) AS success
FROM attempt_stats_hourly AS s
WHERE s.store_id = ${store:sqlstring} AND s.webhook_id = '' AND s.hour >= toStartOfHour($__fromTime) AND s.hour <= $__toTime
