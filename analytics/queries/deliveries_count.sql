-- How many deliveries, by webhook, have a newest row that fits the filters of `deliveries`: what a replay from the log would make again.
-- Deliveries with any row that fits are found first, `most` of them at most (`looked_at` tells); of these the newest row decides.
WITH fitting AS (
    SELECT DISTINCT delivery_id
    FROM attempts
    WHERE store_id = {store_id:String}
        AND ({webhook_id:String} = '' OR webhook_id = {webhook_id:String})
        AND ({event_type:String} = '' OR event_type = {event_type:String})
        AND trigger != 'test'
        AND ({trigger:String} = '' OR trigger = {trigger:String})
        AND http_status BETWEEN {status_low:UInt16} AND {status_high:UInt16}
        AND ({outcome:String} = '' OR outcome = {outcome:String})
        AND ({error_kind:String} = '' OR error_kind = {error_kind:String})
        AND ({event_id:String} = '' OR event_id = {event_id:String})
        AND ({delivery_id:String} = '' OR delivery_id = {delivery_id:String})
        AND ({job_id:String} = '' OR job_id = {job_id:String})
        AND attempted_at >= fromUnixTimestamp64Micro({since_us:Int64}, 'UTC')
        AND attempted_at <= fromUnixTimestamp64Micro({until_us:Int64}, 'UTC')
    LIMIT {most:UInt32}
)
SELECT (SELECT count() FROM fitting) AS looked_at, sumMap(map(webhook_id, toUInt64(1))) AS by_webhook
FROM (
    SELECT webhook_id, delivery_id, argMax((
        trigger != 'test'
        AND ({trigger:String} = '' OR trigger = {trigger:String})
        AND http_status BETWEEN {status_low:UInt16} AND {status_high:UInt16}
        AND ({outcome:String} = '' OR outcome = {outcome:String})
        AND ({error_kind:String} = '' OR error_kind = {error_kind:String})
        AND ({job_id:String} = '' OR job_id = {job_id:String})
        AND attempted_at <= fromUnixTimestamp64Micro({until_us:Int64}, 'UTC')
    ), (attempted_at, attempt_id)) AS fits
    FROM attempts
    WHERE store_id = {store_id:String}
        AND ({webhook_id:String} = '' OR webhook_id = {webhook_id:String})
        AND attempted_at >= fromUnixTimestamp64Micro({since_us:Int64}, 'UTC')
        AND attempted_at <= fromUnixTimestamp64Micro({now_us:Int64}, 'UTC')
        AND delivery_id IN (SELECT delivery_id FROM fitting)
    GROUP BY webhook_id, delivery_id
    HAVING fits
)
