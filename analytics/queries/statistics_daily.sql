-- The same sums day by day, for a chart; days without attempts are left out.
SELECT
    toString(toDate(s.hour)) AS day,
    sum(s.attempts) AS attempts,
    sum(s.retrying) AS retrying,
    sum(s.deliveries) AS deliveries,
    sum(s.first_delivered) AS first_delivered,
    sum(s.delivered) AS delivered,
    sum(s.dead) AS dead,
    sum(s.made_again) AS made_again,
    sum(s.again_delivered) AS again_delivered,
    sum(s.again_dead) AS again_dead,
    sum(s.skipped) AS skipped,
    quantilesTDigestIfMerge(0.5, 0.95, 0.99)(s.response_time) AS response_time_s
FROM attempt_stats_hourly AS s
WHERE s.store_id = {store_id:String}
    AND s.webhook_id = {webhook_id:String}
    AND s.hour >= toStartOfHour(fromUnixTimestamp64Micro({since_us:Int64}, 'UTC'))
    AND s.hour < fromUnixTimestamp64Micro({until_us:Int64}, 'UTC')
GROUP BY day
ORDER BY day
