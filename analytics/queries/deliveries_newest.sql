-- The newest row of each of some deliveries, up to a time: `keys` are webhook and delivery with a slash between, parted by commas.
-- Their webhooks are named as well because the table is sorted by webhook, and most of it need not be read then.
SELECT
    delivery_id,
    toUnixTimestamp64Micro(max((attempts.attempted_at, attempts.attempt_id)).1) AS attempted_at_us,
    max((attempts.attempted_at, attempts.attempt_id)).2 AS attempt_id
FROM attempts
WHERE store_id = {store_id:String}
    AND webhook_id IN (SELECT splitByChar('/', arrayJoin(splitByChar(',', {keys:String})))[1])
    AND delivery_id IN (SELECT splitByChar('/', arrayJoin(splitByChar(',', {keys:String})))[2])
    AND attempts.attempted_at >= fromUnixTimestamp64Micro({since_us:Int64}, 'UTC')
    AND attempts.attempted_at <= fromUnixTimestamp64Micro({until_us:Int64}, 'UTC')
GROUP BY delivery_id
