-- A wide part of this table is 112 files, a compact one 14, and making files is a fifth of what an insert of 10,000 rows costs. A batch of
-- the sink, and what a first merge makes of several, should be compact; larger parts are read by column, and stay wide.
ALTER TABLE attempts MODIFY SETTING min_bytes_for_wide_part = 134217728;
