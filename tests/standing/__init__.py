"""Processes whose knowledge of webhooks stands still when a test says so."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

STANDING: Final = {"PYTHONPATH": os.pathsep.join(filter(None, (str(Path(__file__).parent), os.environ.get("PYTHONPATH"))))}
"""The environment of such a process: SIGUSR2 stops it from following the webhooks, and the next one lets it go on."""
