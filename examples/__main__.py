"""`make example NAME=erp`: one example on a Hookline of its own, from start to stop; status 1 when something was wrong."""

from __future__ import annotations

import argparse
import math
import sys
import tempfile
from pathlib import Path
from typing import Final

from examples.show import ACTS, Shop
from examples.stand import Interrupted, Stand
from hookline.kernel.errors import HooklineError
from hookline.kernel.lifecycle import Stop, on_signals

_LEAST: Final = 0.001
"""As `hookline demo-store` has it for its rate."""


def _positive(text: str) -> float:
    """Return a number that the shop takes; any other is refused before anything is started, not half a minute later."""
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not _LEAST <= number < math.inf:
        raise argparse.ArgumentTypeError(f"{text!r} is no number from {_LEAST} on, such as 20")
    return number


def _seed(text: str) -> int:
    """Return a seed that the shop takes."""
    if not (text.isascii() and text.isdigit()):
        raise argparse.ArgumentTypeError(f"{text!r} is no whole number from 0 on, such as 7")
    return int(text)


def main() -> int:
    """Show the example that the command line names; return the status."""
    usual = Shop()
    parser = argparse.ArgumentParser(prog="python -m examples", description=__doc__)
    parser.add_argument("name", choices=ACTS, help="which example")
    parser.add_argument("--for", dest="for_s", type=_positive, default=usual.for_s, metavar="SECONDS", help="how long the shop publishes")
    parser.add_argument("--rate", type=_positive, default=usual.rate, help="its events a second")
    parser.add_argument("--seed", type=_seed, default=usual.seed, help="which day it has")
    parser.add_argument("--join", action="store_true", help="use the `hookline up` that runs in this folder")
    asked = parser.parse_args()
    stop = Stop()
    on_signals(stop)
    try:
        with tempfile.TemporaryDirectory(prefix="hookline-example-") as folder, Stand(Path(folder), stop, join=asked.join) as stand:
            wrong = ACTS[asked.name](stand, Shop(rate=asked.rate, for_s=asked.for_s, seed=asked.seed))
            stand.say("; ".join(wrong) if wrong else "all is as it should be")
    except Interrupted:
        return 130
    except HooklineError as error:
        print(error, file=sys.stderr)
        return 1
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
