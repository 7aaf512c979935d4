"""Processes whose Kafka clients are lost when a test says so."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

LOSING: Final = {"PYTHONPATH": os.pathsep.join(filter(None, (str(Path(__file__).parent), os.environ.get("PYTHONPATH"))))}
"""The environment of such a process: SIGUSR1 does it."""
