-- What was done about one event, oldest first, for all webhooks or one; bodies and headers stay on disk.
SELECT
    toUnixTimestamp64Micro(attempted_at) AS attempted_at_us,
    attempt_id,
    delivery_id,
    webhook_id,
    event_type,
    trigger,
    attempt,
    outcome,
    http_status,
    error_kind,
    error_detail,
    toUnixTimestamp64Micro(next_retry_at) AS next_retry_at_us,
    source_topic,
    source_partition,
    source_offset,
    toUnixTimestamp64Milli(source_timestamp) AS source_timestamp_ms,
    job_id
FROM attempts
WHERE store_id = {store_id:String}
    AND event_id = {event_id:String}
    AND ({webhook_id:String} = '' OR webhook_id = {webhook_id:String})
ORDER BY attempts.attempted_at, attempts.attempt_id
LIMIT 5000
