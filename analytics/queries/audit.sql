-- Whether each attempt record is there once, and whether the hourly sums agree: rows = distinct, counted = summed.
SELECT
    count() AS rows,
    uniqExact(log_partition, log_offset) AS distinct,
    countIf(attempt > 0 AND trigger != 'test') AS counted,
    (SELECT sum(attempts) FROM attempt_stats_hourly WHERE store_id = {store_id:String}) AS summed
FROM attempts
WHERE store_id = {store_id:String}
