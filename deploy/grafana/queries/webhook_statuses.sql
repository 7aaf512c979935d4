-- Attempts over time, by the status that the receiver answered.
SELECT $__timeInterval(attempted_at) AS time, if(http_status = 0, 'no answer', toString(http_status)) AS status, count() AS attempts
FROM attempts
WHERE store_id = ${store:sqlstring} AND webhook_id = ${webhook:sqlstring} AND $__timeFilter(attempted_at) AND attempt > 0
GROUP BY time, status
ORDER BY time
