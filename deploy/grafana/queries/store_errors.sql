-- Failed attempts per hour, by kind of error.
SELECT
    s.hour AS time,
    kinds.1 AS error_kind,
    sum(kinds.2) AS failed
FROM attempt_stats_hourly AS s
ARRAY JOIN CAST(s.by_error_kind AS Array(Tuple(String, UInt64))) AS kinds
WHERE s.store_id = ${store:sqlstring} AND s.webhook_id = '' AND s.hour >= toStartOfHour($__fromTime) AND s.hour <= $__toTime
GROUP BY time, error_kind
ORDER BY time
