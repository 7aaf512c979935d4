-- What became of the deliveries that a replay job had made again: each by its newest attempt of that job.
SELECT outcome, count() AS deliveries
FROM (
    SELECT delivery_id, argMax(attempts.outcome, (attempted_at, attempt_id)) AS outcome
    FROM attempts
    WHERE store_id = {store_id:String}
        AND job_id = {job_id:String}
        AND attempted_at >= fromUnixTimestamp64Micro({since_us:Int64}, 'UTC')
    GROUP BY delivery_id
)
GROUP BY outcome
ORDER BY outcome
