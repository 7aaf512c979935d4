-- How many deliveries of one webhook are held by a pause, or were and have not been called since: their newest row says so.
SELECT count() AS held
FROM (
    SELECT
        delivery_id,
        argMax(error_kind, (attempted_at, attempt_id)) AS newest
    FROM attempts
    WHERE store_id = {store_id:String}
        AND webhook_id = {webhook_id:String}
        AND attempted_at >= fromUnixTimestamp64Micro({since_us:Int64}, 'UTC')
        AND delivery_id IN (
            SELECT delivery_id
            FROM attempts
            WHERE store_id = {store_id:String}
                AND webhook_id = {webhook_id:String}
                AND outcome = 'skipped'
                AND error_kind = 'paused'
                AND attempted_at >= fromUnixTimestamp64Micro({since_us:Int64}, 'UTC')
        )
    GROUP BY delivery_id
    HAVING newest = 'paused'
)
