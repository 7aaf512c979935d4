"""Hookline: signed webhook delivery from Kafka, with its log in ClickHouse."""

__version__ = "0.1.0"
