-- Where the newest events of some types lie that webhooks of a store were called for, the newest first, at most 20 of each type.
-- `event_types` are parted by commas. The days are partitions, so that what lies before `since_us` is not read.
SELECT
    event_type,
    source_topic,
    source_partition,
    source_offset,
    toUnixTimestamp64Milli(max(source_timestamp)) AS source_timestamp_ms
FROM events
WHERE store_id = {store_id:String}
    AND event_type IN splitByChar(',', {event_types:String})
    AND source_timestamp >= fromUnixTimestamp64Micro({since_us:Int64}, 'UTC')
GROUP BY event_type, source_topic, source_partition, source_offset
ORDER BY event_type, source_timestamp_ms DESC, source_topic, source_partition, source_offset DESC
LIMIT 20 BY event_type
LIMIT 1000
