-- Where an event's bytes lie in Kafka. An event that was published twice has two places; the later one is first.
SELECT
    event_id,
    event_type,
    source_topic,
    source_partition,
    source_offset,
    toUnixTimestamp64Milli(source_timestamp) AS source_timestamp_ms
FROM events
WHERE store_id = {store_id:String} AND event_id = {event_id:String}
GROUP BY event_id, event_type, source_topic, source_partition, source_offset, source_timestamp
ORDER BY events.source_timestamp DESC, source_topic, source_partition, source_offset DESC
LIMIT 100
