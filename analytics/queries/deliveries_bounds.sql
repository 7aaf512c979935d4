-- How many rows of the log fit, and between which times they lie; the filters are those of `deliveries`. For exports, and asked by the log where
-- the newest hour has none: counting reads two columns, and sorting for a page that nothing fits reads far more.
SELECT
    count() AS rows,
    toUnixTimestamp64Micro(min(attempts.attempted_at)) AS oldest_us,
    toUnixTimestamp64Micro(max(attempts.attempted_at)) AS newest_us
FROM attempts
WHERE store_id = {store_id:String}
    AND ({webhook_id:String} = '' OR webhook_id = {webhook_id:String})
    AND ({event_type:String} = '' OR event_type = {event_type:String})
    AND ({trigger:String} = '' OR trigger = {trigger:String})
    AND http_status BETWEEN {status_low:UInt16} AND {status_high:UInt16}
    AND ({outcome:String} = '' OR outcome = {outcome:String})
    AND ({error_kind:String} = '' OR error_kind = {error_kind:String})
    AND ({event_id:String} = '' OR event_id = {event_id:String})
    AND ({delivery_id:String} = '' OR delivery_id = {delivery_id:String})
    AND ({job_id:String} = '' OR job_id = {job_id:String})
    AND attempted_at >= fromUnixTimestamp64Micro({since_us:Int64}, 'UTC')
    AND attempted_at <= fromUnixTimestamp64Micro({until_us:Int64}, 'UTC')
