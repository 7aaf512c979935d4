-- What went wrong, the most frequent first.
SELECT error_kind, error_detail, count() AS times, max(attempted_at) AS latest
FROM attempts
WHERE store_id = ${store:sqlstring} AND webhook_id = ${webhook:sqlstring} AND $__timeFilter(attempted_at) AND error_kind != ''
GROUP BY error_kind, error_detail
ORDER BY times DESC
LIMIT 100
