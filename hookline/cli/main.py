"""`hookline`: the way in. It imports nothing heavy itself: Ctrl-C while the commands are still being loaded ends the process quietly."""

from __future__ import annotations

import signal


def main() -> None:
    """Load the command that was asked for, and run it."""
    handler = signal.getsignal(signal.SIGINT)
    if handler is signal.default_int_handler:  # not where a caller has it ignored, or handles it
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    try:
        from hookline.cli.commands import chosen, run  # takes most of a second

        app = chosen()
    finally:
        signal.signal(signal.SIGINT, handler)
    run(app)


if __name__ == "__main__":
    main()
