-- How many of a store's deliveries wait for their next attempt, webhook by webhook, and since when the event of the oldest has been there.
-- Only deliveries with a failed attempt are looked at; of these the newest row tells whether they still wait.
SELECT webhook_id, count() AS waiting, min(event_us) AS oldest_us
FROM (
    SELECT
        webhook_id,
        delivery_id,
        toUnixTimestamp64Milli(min(source_timestamp)) * 1000 AS event_us,
        argMax(outcome, (attempted_at, attempt_id)) AS newest
    FROM attempts
    WHERE store_id = {store_id:String}
        AND ({webhook_id:String} = '' OR webhook_id = {webhook_id:String})
        AND attempted_at >= fromUnixTimestamp64Micro({since_us:Int64}, 'UTC')
        AND delivery_id IN (
            SELECT delivery_id
            FROM attempts
            WHERE store_id = {store_id:String}
                AND ({webhook_id:String} = '' OR webhook_id = {webhook_id:String})
                AND outcome = 'retrying'
                AND attempted_at >= fromUnixTimestamp64Micro({since_us:Int64}, 'UTC')
        )
    GROUP BY webhook_id, delivery_id
    HAVING newest = 'retrying'
)
GROUP BY webhook_id
ORDER BY waiting DESC, webhook_id
LIMIT 1000
