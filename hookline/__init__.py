"""Hookline: signed webhook delivery from Kafka, with its log in ClickHouse."""

from typing import Final

__version__: Final = "0.1.0"
