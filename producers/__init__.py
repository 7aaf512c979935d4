"""Events in: the Publisher library, the HTTP ingest and the demo store."""
