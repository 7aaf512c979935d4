-- Every attempt of one delivery, oldest first, with request and answer; the body is base64 because it may hold any bytes.
SELECT
    toUnixTimestamp64Micro(attempted_at) AS attempted_at_us,
    attempt_id,
    delivery_id,
    store_id,
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
    request_headers,
    response_headers,
    base64Encode(response_body) AS response_body_base64,
    source_topic,
    source_partition,
    source_offset,
    toUnixTimestamp64Milli(source_timestamp) AS source_timestamp_ms,
    dispatcher,
    job_id
FROM attempts
WHERE store_id = {store_id:String} AND delivery_id = {delivery_id:String}
ORDER BY attempted_at, attempt_id
LIMIT 1000
