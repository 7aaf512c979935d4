"""`hookline ingest`: events over HTTP, answered once they are on Kafka."""
