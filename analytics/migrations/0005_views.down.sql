DROP VIEW IF EXISTS v_event_types;

DROP VIEW IF EXISTS v_daily;

DROP VIEW IF EXISTS v_hourly;

DROP VIEW IF EXISTS v_deliveries;

DROP VIEW IF EXISTS v_attempts;
