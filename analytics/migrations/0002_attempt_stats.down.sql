DROP VIEW IF EXISTS attempt_stats_hourly_view SYNC;

DROP TABLE IF EXISTS attempt_stats_hourly SYNC;
