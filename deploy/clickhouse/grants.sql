-- The users of ClickHouse, with the rights that each needs and no others. Run once, as an administrator, in the database of
-- CLICKHOUSE_URL (here `hookline`), after `hookline migrate up` has made the tables. Put in passwords of your own.
-- What each statement is for is tested: tests/deploy/test_clickhouse_rights.py runs the real work of each user under these rights.

-- A query may ask for less than these limits and not for more; 0 would be no limit, hence MIN 1.
CREATE SETTINGS PROFILE IF NOT EXISTS hookline_reading SETTINGS
    max_execution_time = 60 MIN 1 MAX 60,
    max_memory_usage = 2000000000 MIN 1 MAX 2000000000,
    max_result_rows = 1000000 MIN 1 MAX 1000000,
    readonly = 2 READONLY;

-- `hookline sink`: writes attempts, mends what a crash left half done, redacts what was erased.
CREATE USER IF NOT EXISTS hookline_sink IDENTIFIED WITH sha256_password BY 'change-me-sink';
GRANT SELECT, INSERT ON hookline.attempts TO hookline_sink;
GRANT SELECT, INSERT, ALTER DELETE ON hookline.attempt_stats_hourly TO hookline_sink;
GRANT SELECT, INSERT ON hookline.events TO hookline_sink;
GRANT SELECT ON hookline.hookline_migrations TO hookline_sink;
GRANT ALTER UPDATE(response_body, response_headers, error_detail) ON hookline.attempts TO hookline_sink;
GRANT SELECT ON system.settings TO hookline_sink;

-- `hookline console`, and the commands `log`, `stats` and `privacy`: ask.
CREATE USER IF NOT EXISTS hookline_console IDENTIFIED WITH sha256_password BY 'change-me-console' SETTINGS PROFILE 'hookline_reading';
GRANT SELECT ON hookline.attempts TO hookline_console;
GRANT SELECT ON hookline.attempt_stats_hourly TO hookline_console;
GRANT SELECT ON hookline.events TO hookline_console;

-- People and their programs: the views, with what these read and no more. No URL, header, body or error text is among it.
CREATE USER IF NOT EXISTS hookline_analyst IDENTIFIED WITH sha256_password BY 'change-me-analyst' SETTINGS PROFILE 'hookline_reading';
GRANT SELECT ON hookline.v_attempts TO hookline_analyst;
GRANT SELECT ON hookline.v_deliveries TO hookline_analyst;
GRANT SELECT ON hookline.v_hourly TO hookline_analyst;
GRANT SELECT ON hookline.v_daily TO hookline_analyst;
GRANT SELECT ON hookline.v_event_types TO hookline_analyst;
GRANT SELECT(store_id, webhook_id, attempted_at, attempt_id, delivery_id, event_id, event_type, trigger, attempt, outcome, http_status,
    error_kind, response_time_us, queue_wait_us, next_retry_at, source_topic, source_timestamp, job_id) ON hookline.attempts TO hookline_analyst;
GRANT SELECT ON hookline.attempt_stats_hourly TO hookline_analyst;

-- `hookline migrate`: shapes the tables; nobody else may, and no process runs as this user.
CREATE USER IF NOT EXISTS hookline_migrator IDENTIFIED WITH sha256_password BY 'change-me-migrator';
GRANT CREATE TABLE, CREATE VIEW, DROP TABLE, DROP VIEW, ALTER TABLE, SELECT, INSERT ON hookline.* TO hookline_migrator;
GRANT TABLE ENGINE ON MergeTree, TABLE ENGINE ON ReplacingMergeTree, TABLE ENGINE ON AggregatingMergeTree TO hookline_migrator;

-- Nobody of these reads files, other servers or the network: sources are not granted, so there is nothing to revoke.
-- Take away the password-less `default` user: in users.d, <default remove="1"/>.
