-- For analysts: the tables with nulls where there is nothing, seconds, states finished, one row per delivery. Whoever asks needs rights
-- on the columns below too (SQL SECURITY INVOKER, the default), so that a view shows nobody what his grants do not.
-- The time of the event is a key of v_deliveries, so that a span of it is looked for before deliveries are put together, not after.

CREATE VIEW IF NOT EXISTS v_attempts (
    store_id String COMMENT 'The store',
    webhook_id String COMMENT 'The webhook that was called',
    attempted_at DateTime64(6, 'UTC') COMMENT 'When the attempt began, or the skip was decided',
    attempt_id String COMMENT 'Unique per row',
    delivery_id String COMMENT 'One event for one webhook: webhook-id on the wire',
    event_id String COMMENT 'The event',
    event_type LowCardinality(String) COMMENT 'Its type, such as order.created',
    published_at Nullable(DateTime64(3, 'UTC')) COMMENT 'When the broker took the event; null for a test call',
    trigger LowCardinality(String) COMMENT 'event, resend, replay or test',
    attempt UInt16 COMMENT 'Number of the attempt from 1; 0 is a skip',
    outcome LowCardinality(String) COMMENT 'delivered, retrying, dead or skipped',
    http_status Nullable(UInt16) COMMENT 'Status of the answer; null when there was none',
    error_kind LowCardinality(Nullable(String)) COMMENT 'Why it failed or was skipped; null when it did not',
    response_time_s Nullable(Float64) COMMENT 'From the start of the attempt to its end, in seconds; null for a skip',
    queue_wait_s Nullable(Float64) COMMENT 'From when it could have been made to its start, in seconds; null for a skip',
    next_retry_at Nullable(DateTime64(6, 'UTC')) COMMENT 'When the next attempt is due; null when there is none',
    job_id Nullable(String) COMMENT 'The replay job; null outside one'
)
AS SELECT
    a.store_id AS store_id,
    a.webhook_id AS webhook_id,
    a.attempted_at AS attempted_at,
    a.attempt_id AS attempt_id,
    a.delivery_id AS delivery_id,
    a.event_id AS event_id,
    a.event_type AS event_type,
    if(a.source_topic = '', NULL, a.source_timestamp) AS published_at,
    a.trigger AS trigger,
    a.attempt AS attempt,
    a.outcome AS outcome,
    nullIf(a.http_status, 0) AS http_status,
    nullIf(a.error_kind, '') AS error_kind,
    if(a.attempt = 0, NULL, a.response_time_us / 1000000) AS response_time_s,
    if(a.attempt = 0, NULL, a.queue_wait_us / 1000000) AS queue_wait_s,
    if(toUnixTimestamp64Micro(a.next_retry_at) = 0, NULL, a.next_retry_at) AS next_retry_at,
    nullIf(a.job_id, '') AS job_id
FROM attempts AS a
COMMENT 'HTTP attempts and skips, one row each, without what may be personal: no URL, no headers, no bodies';

CREATE VIEW IF NOT EXISTS v_deliveries (
    store_id String COMMENT 'The store',
    webhook_id String COMMENT 'The webhook',
    delivery_id String COMMENT 'The delivery: webhook-id on the wire',
    event_id String COMMENT 'The event',
    event_type LowCardinality(String) COMMENT 'Its type',
    published_at DateTime64(3, 'UTC') COMMENT 'When the broker took the event',
    first_attempt_at Nullable(DateTime64(6, 'UTC')) COMMENT 'When the first attempt began; null while there was none',
    last_at DateTime64(6, 'UTC') COMMENT 'When the last attempt began, or the last skip was decided',
    attempts UInt64 COMMENT 'HTTP attempts, resends and replays among them',
    outcome LowCardinality(String) COMMENT 'How it stands: delivered, retrying, dead or skipped',
    http_status Nullable(UInt16) COMMENT 'Status of the last answer; null when the last attempt got none',
    error_kind LowCardinality(Nullable(String)) COMMENT 'Why the last attempt failed or was skipped; null when it did not',
    delivered_at Nullable(DateTime64(6, 'UTC')) COMMENT 'When it was first delivered, to the end of the answer; null when never',
    delivery_time_s Nullable(Float64) COMMENT 'From published_at to delivered_at, in seconds',
    made_again Bool COMMENT 'Whether somebody had it made again, by a resend or a replay'
)
AS SELECT
    store_id,
    webhook_id,
    delivery_id,
    event_id,
    event_type,
    published_at,
    if(attempts = 0, NULL, first_us) AS first_attempt_at,
    last.1 AS last_at,
    attempts,
    last.3 AS outcome,
    nullIf(last.4, 0) AS http_status,
    nullIf(last.5, '') AS error_kind,
    if(delivered_n = 0, NULL, delivered_us) AS delivered_at,
    if(delivered_n = 0, NULL, (toUnixTimestamp64Micro(delivered_us) - 1000 * toUnixTimestamp64Milli(published_at)) / 1000000) AS delivery_time_s,
    again > 0 AS made_again
FROM (
    SELECT
        a.store_id AS store_id,
        a.webhook_id AS webhook_id,
        a.delivery_id AS delivery_id,
        any(a.event_id) AS event_id,
        any(a.event_type) AS event_type,
        a.source_timestamp AS published_at,
        minIf(a.attempted_at, a.attempt > 0) AS first_us,
        countIf(a.attempt > 0) AS attempts,
        max((a.attempted_at, a.attempt_id, a.outcome, a.http_status, a.error_kind)) AS last,
        countIf(a.outcome = 'delivered') AS delivered_n,
        minIf(addMicroseconds(a.attempted_at, a.response_time_us), a.outcome = 'delivered') AS delivered_us,
        countIf(a.trigger IN ('resend', 'replay')) AS again
    FROM attempts AS a
    WHERE a.trigger != 'test'
    GROUP BY a.store_id, a.webhook_id, a.delivery_id, a.source_timestamp
)
COMMENT 'Deliveries as they stand: one event for one webhook, whatever was tried; test calls are left out';

CREATE VIEW IF NOT EXISTS v_hourly (
    store_id String COMMENT 'The store',
    webhook_id String COMMENT 'The webhook',
    hour DateTime('UTC') COMMENT 'Start of the hour',
    attempts UInt64 COMMENT 'HTTP attempts, whatever began them; skips are none',
    retrying UInt64 COMMENT 'Attempts that failed with another to come',
    deliveries UInt64 COMMENT 'Deliveries begun by events',
    first_delivered UInt64 COMMENT 'Of those, the ones delivered at attempt 1',
    delivered UInt64 COMMENT 'Deliveries begun by events that ended delivered',
    dead UInt64 COMMENT 'Deliveries begun by events that were given up',
    made_again UInt64 COMMENT 'Resends and replays begun',
    again_delivered UInt64 COMMENT 'Resends and replays that ended delivered',
    again_dead UInt64 COMMENT 'Resends and replays that were given up',
    skipped UInt64 COMMENT 'Records that explain why no call was made',
    success_rate Nullable(Float64) COMMENT 'delivered / (delivered + dead), 0 to 1; null when none ended',
    first_try_rate Nullable(Float64) COMMENT 'first_delivered / deliveries, 0 to 1; null without deliveries',
    response_p50_s Nullable(Float64) COMMENT 'Answer of the receiver: half of attempts took no longer, in seconds; null without any',
    response_p95_s Nullable(Float64) COMMENT 'Answer of the receiver: 95 % of attempts took no longer, in seconds; null without any',
    response_p99_s Nullable(Float64) COMMENT 'Answer of the receiver: 99 % of attempts took no longer, in seconds; null without any',
    wait_p50_s Nullable(Float64) COMMENT 'From when the attempt could be made to its start: half of attempts took no longer, in seconds; null without any',
    wait_p95_s Nullable(Float64) COMMENT 'From when the attempt could be made to its start: 95 % of attempts took no longer, in seconds; null without any',
    wait_p99_s Nullable(Float64) COMMENT 'From when the attempt could be made to its start: 99 % of attempts took no longer, in seconds; null without any'
)
AS SELECT
    store_id,
    webhook_id,
    hour,
    attempts,
    retrying,
    deliveries,
    first_delivered,
    delivered,
    dead,
    made_again,
    again_delivered,
    again_dead,
    skipped,
    delivered / nullIf(delivered + dead, 0) AS success_rate,
    first_delivered / nullIf(deliveries, 0) AS first_try_rate,
    if(isNaN(q_response[1]), NULL, q_response[1]) AS response_p50_s,
    if(isNaN(q_response[2]), NULL, q_response[2]) AS response_p95_s,
    if(isNaN(q_response[3]), NULL, q_response[3]) AS response_p99_s,
    if(isNaN(q_wait[1]), NULL, q_wait[1]) AS wait_p50_s,
    if(isNaN(q_wait[2]), NULL, q_wait[2]) AS wait_p95_s,
    if(isNaN(q_wait[3]), NULL, q_wait[3]) AS wait_p99_s
FROM (
    SELECT
        s.store_id AS store_id,
        s.webhook_id AS webhook_id,
        s.hour AS hour,
        sum(s.attempts) AS attempts,
        sum(s.retrying) AS retrying,
        sum(s.deliveries) AS deliveries,
        sum(s.first_delivered) AS first_delivered,
        sum(s.delivered) AS delivered,
        sum(s.dead) AS dead,
        sum(s.made_again) AS made_again,
        sum(s.again_delivered) AS again_delivered,
        sum(s.again_dead) AS again_dead,
        sum(s.skipped) AS skipped,
        quantilesTDigestIfMerge(0.5, 0.95, 0.99)(s.response_time) AS q_response,
        quantilesTDigestIfMerge(0.5, 0.95, 0.99)(s.queue_wait) AS q_wait
    FROM attempt_stats_hourly AS s
    WHERE s.webhook_id != ''
    GROUP BY s.store_id, s.webhook_id, s.hour
)
COMMENT 'Sums per webhook and hour, ready to read; test calls are left out';

CREATE VIEW IF NOT EXISTS v_daily (
    store_id String COMMENT 'The store',
    day Date COMMENT 'The day, in UTC',
    attempts UInt64 COMMENT 'HTTP attempts, whatever began them; skips are none',
    retrying UInt64 COMMENT 'Attempts that failed with another to come',
    deliveries UInt64 COMMENT 'Deliveries begun by events',
    first_delivered UInt64 COMMENT 'Of those, the ones delivered at attempt 1',
    delivered UInt64 COMMENT 'Deliveries begun by events that ended delivered',
    dead UInt64 COMMENT 'Deliveries begun by events that were given up',
    made_again UInt64 COMMENT 'Resends and replays begun',
    again_delivered UInt64 COMMENT 'Resends and replays that ended delivered',
    again_dead UInt64 COMMENT 'Resends and replays that were given up',
    skipped UInt64 COMMENT 'Records that explain why no call was made',
    success_rate Nullable(Float64) COMMENT 'delivered / (delivered + dead), 0 to 1; null when none ended',
    first_try_rate Nullable(Float64) COMMENT 'first_delivered / deliveries, 0 to 1; null without deliveries',
    response_p50_s Nullable(Float64) COMMENT 'Answer of the receiver: half of attempts took no longer, in seconds; null without any',
    response_p95_s Nullable(Float64) COMMENT 'Answer of the receiver: 95 % of attempts took no longer, in seconds; null without any',
    response_p99_s Nullable(Float64) COMMENT 'Answer of the receiver: 99 % of attempts took no longer, in seconds; null without any',
    wait_p50_s Nullable(Float64) COMMENT 'From when the attempt could be made to its start: half of attempts took no longer, in seconds; null without any',
    wait_p95_s Nullable(Float64) COMMENT 'From when the attempt could be made to its start: 95 % of attempts took no longer, in seconds; null without any',
    wait_p99_s Nullable(Float64) COMMENT 'From when the attempt could be made to its start: 99 % of attempts took no longer, in seconds; null without any'
)
AS SELECT
    store_id,
    day,
    attempts,
    retrying,
    deliveries,
    first_delivered,
    delivered,
    dead,
    made_again,
    again_delivered,
    again_dead,
    skipped,
    delivered / nullIf(delivered + dead, 0) AS success_rate,
    first_delivered / nullIf(deliveries, 0) AS first_try_rate,
    if(isNaN(q_response[1]), NULL, q_response[1]) AS response_p50_s,
    if(isNaN(q_response[2]), NULL, q_response[2]) AS response_p95_s,
    if(isNaN(q_response[3]), NULL, q_response[3]) AS response_p99_s,
    if(isNaN(q_wait[1]), NULL, q_wait[1]) AS wait_p50_s,
    if(isNaN(q_wait[2]), NULL, q_wait[2]) AS wait_p95_s,
    if(isNaN(q_wait[3]), NULL, q_wait[3]) AS wait_p99_s
FROM (
    SELECT
        s.store_id AS store_id,
        toDate(s.hour) AS day,
        sum(s.attempts) AS attempts,
        sum(s.retrying) AS retrying,
        sum(s.deliveries) AS deliveries,
        sum(s.first_delivered) AS first_delivered,
        sum(s.delivered) AS delivered,
        sum(s.dead) AS dead,
        sum(s.made_again) AS made_again,
        sum(s.again_delivered) AS again_delivered,
        sum(s.again_dead) AS again_dead,
        sum(s.skipped) AS skipped,
        quantilesTDigestIfMerge(0.5, 0.95, 0.99)(s.response_time) AS q_response,
        quantilesTDigestIfMerge(0.5, 0.95, 0.99)(s.queue_wait) AS q_wait
    FROM attempt_stats_hourly AS s
    WHERE s.webhook_id = ''
    GROUP BY s.store_id, day
)
COMMENT 'Sums per store and day, ready to read; test calls are left out';

CREATE VIEW IF NOT EXISTS v_event_types (
    store_id String COMMENT 'The store',
    webhook_id String COMMENT 'The webhook',
    hour DateTime('UTC') COMMENT 'Start of the hour',
    event_type String COMMENT 'The event type',
    deliveries UInt64 COMMENT 'Deliveries begun by events of this type'
)
AS SELECT
    s.store_id AS store_id,
    s.webhook_id AS webhook_id,
    s.hour AS hour,
    pair.1 AS event_type,
    sum(pair.2) AS deliveries
FROM attempt_stats_hourly AS s
ARRAY JOIN CAST(s.by_event_type, 'Array(Tuple(String, UInt64))') AS pair
WHERE s.webhook_id != ''
GROUP BY s.store_id, s.webhook_id, s.hour, pair.1
COMMENT 'Deliveries begun by events, per webhook, hour and event type';
