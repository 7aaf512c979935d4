"""Events out: consume, match, sign, send and settle; retry, dead letters, replay."""
