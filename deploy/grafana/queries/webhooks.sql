-- Values of the variable `webhook`: those of the store that were called in the span shown.
SELECT DISTINCT webhook_id
FROM attempt_stats_hourly
WHERE store_id = ${store:sqlstring} AND webhook_id != '' AND hour >= toStartOfHour($__fromTime) AND hour <= $__toTime
ORDER BY webhook_id
LIMIT 10000
