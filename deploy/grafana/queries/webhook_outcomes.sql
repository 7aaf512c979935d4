-- Attempts and explained skips over time, by outcome.
SELECT $__timeInterval(attempted_at) AS time, outcome, count() AS attempts
FROM attempts
WHERE store_id = ${store:sqlstring} AND webhook_id = ${webhook:sqlstring} AND $__timeFilter(attempted_at)
GROUP BY time, outcome
ORDER BY time
