ALTER TABLE attempts RESET SETTING min_bytes_for_wide_part;
