-- How many of a store's deliveries wait for their next attempt, webhook by webhook, and since when the event of the oldest has been there.
-- The newest row of a delivery tells. A first attempt that did not fail ended its delivery, or is a resend beside it: most of the log need
-- not be looked at. That a webhook is paused ends no delivery either.
SELECT webhook_id, count() AS waiting, min(event_us) AS oldest_us
FROM (
    SELECT
        webhook_id,
        toUnixTimestamp64Milli(min(source_timestamp)) * 1000 AS event_us,
        argMax(outcome, (attempted_at, attempt)) AS newest
    FROM attempts
    PREWHERE attempt != 1 OR outcome = 'retrying'
    WHERE store_id = {store_id:String}
        AND attempted_at >= fromUnixTimestamp64Micro({since_us:Int64}, 'UTC')
        AND error_kind != 'paused'
    GROUP BY webhook_id, sipHash128(delivery_id)
    HAVING newest = 'retrying'
)
GROUP BY webhook_id
ORDER BY waiting DESC, webhook_id
LIMIT 1000
