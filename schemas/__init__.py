"""The contract: Avro schemas, event catalogue, topics, wire codec and schema registry."""
