-- What goes wrong with one webhook, by kind: how often since `recent_us`, and since when without a success between. `straight` counts what
-- came after the last success, and `began_us` is the first of these: "401 since Tuesday 14:02". Rows are read from the last success or from
-- `recent_us`, whichever is older, and no further back than `since_us`. The row without an error has the successes, and when the last was.
WITH ifNull((
    SELECT attempted_at
    FROM attempts
    WHERE store_id = {store_id:String}
        AND webhook_id = {webhook_id:String}
        AND outcome = 'delivered'
        AND attempted_at >= fromUnixTimestamp64Micro({since_us:Int64}, 'UTC')
        AND attempted_at <= fromUnixTimestamp64Micro({until_us:Int64}, 'UTC')
    ORDER BY attempted_at DESC
    LIMIT 1
), fromUnixTimestamp64Micro({since_us:Int64}, 'UTC')) AS well_at
SELECT
    attempt > 0 AS called,
    error_kind,
    http_status,
    countIf(attempts.attempted_at >= fromUnixTimestamp64Micro({recent_us:Int64}, 'UTC')) AS recent,
    countIf(attempts.attempted_at > well_at) AS straight,
    toUnixTimestamp64Micro(minIf(attempts.attempted_at, attempts.attempted_at > well_at)) AS began_us,
    toUnixTimestamp64Micro(max(attempts.attempted_at)) AS last_us
FROM attempts
WHERE store_id = {store_id:String}
    AND webhook_id = {webhook_id:String}
    AND attempted_at >= least(well_at, fromUnixTimestamp64Micro({recent_us:Int64}, 'UTC'))
    AND attempted_at <= fromUnixTimestamp64Micro({until_us:Int64}, 'UTC')
GROUP BY called, error_kind, http_status
ORDER BY straight DESC, recent DESC
LIMIT 200
