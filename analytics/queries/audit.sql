-- Whether each attempt record is there once, and whether the hourly sums agree: rows = distinct, counted = summed = summed_whole:
-- the sums of all webhooks, and those of the whole store.
SELECT
    count() AS rows,
    uniqExact(log_partition, log_offset) AS distinct,
    countIf(trigger != 'test') AS counted,
    (
        SELECT sum(s.records)
        FROM attempt_stats_hourly AS s
        WHERE s.store_id = {store_id:String}
            AND s.webhook_id != ''
            AND s.hour >= toStartOfHour(fromUnixTimestamp64Micro({since_us:Int64}, 'UTC'))
            AND s.hour <= toStartOfHour(fromUnixTimestamp64Micro({until_us:Int64}, 'UTC'))
    ) AS summed,
    (
        SELECT sum(s.records)
        FROM attempt_stats_hourly AS s
        WHERE s.store_id = {store_id:String}
            AND s.webhook_id = ''
            AND s.hour >= toStartOfHour(fromUnixTimestamp64Micro({since_us:Int64}, 'UTC'))
            AND s.hour <= toStartOfHour(fromUnixTimestamp64Micro({until_us:Int64}, 'UTC'))
    ) AS summed_whole
FROM attempts
WHERE store_id = {store_id:String}
    AND toStartOfHour(attempted_at) >= toStartOfHour(fromUnixTimestamp64Micro({since_us:Int64}, 'UTC'))
    AND toStartOfHour(attempted_at) <= toStartOfHour(fromUnixTimestamp64Micro({until_us:Int64}, 'UTC'))
