-- Values of the variable `store`: the stores that had a call in the last 400 days.
SELECT DISTINCT store_id FROM attempt_stats_hourly WHERE webhook_id = '' ORDER BY store_id LIMIT 10000
