-- The last calls of one webhook, newest first, tests too, or the last rows with one kind of error, called or not: what the failure doctor
-- looks at one by one. Bodies and headers stay on disk.
SELECT
    toUnixTimestamp64Micro(attempted_at) AS attempted_at_us,
    trigger,
    http_status,
    error_kind,
    error_detail,
    url,
    response_time_us,
    toUnixTimestamp64Micro(next_retry_at) AS next_retry_at_us
FROM attempts
WHERE store_id = {store_id:String}
    AND webhook_id = {webhook_id:String}
    AND attempted_at >= fromUnixTimestamp64Micro({since_us:Int64}, 'UTC')
    AND attempted_at <= fromUnixTimestamp64Micro({until_us:Int64}, 'UTC')
    AND (if({error_kind:String} = '', attempt > 0, error_kind = {error_kind:String}))
ORDER BY attempts.attempted_at DESC, attempts.attempt_id DESC
LIMIT {limit:UInt32}
