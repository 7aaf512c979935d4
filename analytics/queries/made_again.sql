-- How often deliveries of a store, or of one of its webhooks, that were made again ended beside their last time, webhook by webhook: so much
-- the sums since the same hour count too often for one who counts each delivery once, by how it ended last. `since_h` is in hours since the
-- epoch. What was made again is rare, and found by its trigger; all endings of these are found by the index of delivery ids.
SELECT
    webhook_id,
    sum(times_delivered) - countIf(newest = 'delivered') AS more_delivered,
    sum(times_dead) - countIf(newest = 'dead') AS more_dead
FROM (
    SELECT
        webhook_id,
        countIf(outcome = 'delivered') AS times_delivered,
        countIf(outcome = 'dead') AS times_dead,
        argMax(outcome, (attempted_at, attempt)) AS newest
    FROM attempts
    PREWHERE delivery_id IN (
        SELECT delivery_id
        FROM attempts
        PREWHERE trigger IN ('resend', 'replay')
        WHERE store_id = {store_id:String}
            AND ({webhook_id:String} = '' OR webhook_id = {webhook_id:String})
            AND attempted_at >= toDateTime({since_h:UInt32} * 3600, 'UTC')
    )
    WHERE store_id = {store_id:String}
        AND ({webhook_id:String} = '' OR webhook_id = {webhook_id:String})
        AND outcome IN ('delivered', 'dead')
        AND trigger != 'test'
        AND attempted_at >= toDateTime({since_h:UInt32} * 3600, 'UTC')
    GROUP BY webhook_id, sipHash128(delivery_id)
    HAVING count() > 1
)
GROUP BY webhook_id
ORDER BY webhook_id
LIMIT 1000
