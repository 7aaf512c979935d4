-- How many deliveries are held by a pause, or were and have not been called since, by webhook: their newest row says so.
SELECT webhook_id, count() AS held
FROM (
    SELECT
        webhook_id,
        argMax(error_kind, (attempted_at, attempt_id)) AS newest
    FROM attempts
    WHERE store_id = {store_id:String}
        AND ({webhook_id:String} = '' OR webhook_id = {webhook_id:String})
        AND attempted_at >= fromUnixTimestamp64Micro({since_us:Int64}, 'UTC')
        AND delivery_id IN (
            SELECT delivery_id
            FROM attempts
            WHERE store_id = {store_id:String}
                AND ({webhook_id:String} = '' OR webhook_id = {webhook_id:String})
                AND outcome = 'skipped'
                AND error_kind = 'paused'
                AND attempted_at >= fromUnixTimestamp64Micro({since_us:Int64}, 'UTC')
        )
    GROUP BY webhook_id, delivery_id
    HAVING newest = 'paused'
)
GROUP BY webhook_id
ORDER BY held DESC, webhook_id
LIMIT 1000
