"""`make example NAME=erp`: one example on a Hookline of its own, from start to stop; status 1 when something was wrong."""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

from examples.show import ACTS, Shop
from examples.stand import Interrupted, Stand
from hookline.kernel.errors import HooklineError
from hookline.kernel.lifecycle import Stop, on_signals


def main() -> int:
    """Show the example that the command line names; return the status."""
    usual = Shop()
    parser = argparse.ArgumentParser(prog="python -m examples", description=__doc__)
    parser.add_argument("name", choices=ACTS, help="which example")
    parser.add_argument("--for", dest="for_s", type=float, default=usual.for_s, metavar="SECONDS", help="how long the shop publishes")
    parser.add_argument("--rate", type=float, default=usual.rate, help="its events a second")
    parser.add_argument("--seed", type=int, default=usual.seed, help="which day it has")
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
