-- The webhook's attempts and how they ended; test calls are left out.
SELECT
    countIf(attempt > 0) AS attempts,
    countIf(outcome = 'delivered') AS delivered,
    countIf(outcome = 'dead') AS dead,
    delivered / nullIf(delivered + dead, 0) AS success
FROM attempts
WHERE store_id = ${store:sqlstring} AND webhook_id = ${webhook:sqlstring} AND $__timeFilter(attempted_at) AND trigger != 'test'
