-- One stretch of the log, newest first, for the API, exports and replays: as `log`, and by job. Bodies and headers stay on disk.
SELECT
    toUnixTimestamp64Micro(attempted_at) AS attempted_at_us,
    attempt_id,
    delivery_id,
    webhook_id,
    event_id,
    event_type,
    trigger,
    attempt,
    outcome,
    http_status,
    error_kind,
    error_detail,
    response_time_us,
    queue_wait_us,
    toUnixTimestamp64Micro(next_retry_at) AS next_retry_at_us,
    url,
    source_topic,
    source_partition,
    source_offset,
    toUnixTimestamp64Milli(source_timestamp) AS source_timestamp_ms,
    job_id
FROM attempts
WHERE store_id = {store_id:String}
    AND ({webhook_id:String} = '' OR webhook_id = {webhook_id:String})
    AND ({event_type:String} = '' OR event_type = {event_type:String})
    AND ({trigger:String} = '' OR trigger = {trigger:String})
    AND http_status BETWEEN {status_low:UInt16} AND {status_high:UInt16}
    AND ({outcome:String} = '' OR outcome = {outcome:String})
    AND ({error_kind:String} = '' OR error_kind = {error_kind:String})
    AND ({event_id:String} = '' OR event_id = {event_id:String})
    AND ({delivery_id:String} = '' OR delivery_id = {delivery_id:String})
    AND ({job_id:String} = '' OR job_id = {job_id:String})
    AND attempted_at >= fromUnixTimestamp64Micro({since_us:Int64}, 'UTC')
    AND attempted_at <= fromUnixTimestamp64Micro({until_us:Int64}, 'UTC')
    AND (attempted_at, attempt_id) < (fromUnixTimestamp64Micro({before_us:Int64}, 'UTC'), {before_id:String})
ORDER BY attempts.attempted_at DESC, attempts.attempt_id DESC
LIMIT {limit:UInt32}
