"""The command line as a whole: its version, its help, and what is told of a filter's and a field's fault."""

from __future__ import annotations

import signal
import subprocess
import sys

import pytest

from hookline import __version__
from hookline.kernel.errors import FilterError, InputError
from hookline.schemas.catalogue import event_type
from hookline.schemas.checks import compile_check
from hookline.webhooks.filters import compile_filter

pytestmark = pytest.mark.unit


def hookline(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the command line."""
    return subprocess.run([sys.executable, "-m", "hookline.cli.main", *arguments], capture_output=True, text=True, check=False, timeout=60)


def test_version() -> None:
    """`--version` prints it and nothing else."""
    done = hookline("--version")
    assert (done.returncode, done.stdout.strip(), done.stderr) == (0, __version__, "")


def test_without_a_command_the_help_is_shown() -> None:
    """Whoever types the name alone learns what there is."""
    done = hookline()
    assert done.returncode == 2
    assert "Start with:" in done.stdout


LOADING = """
import builtins, os, signal, sys
from hookline.cli.main import main
load = builtins.__import__

def interrupted(name, *more):
    if name == "hookline.cli.commands":
        os.kill(os.getpid(), signal.SIGINT)
    return load(name, *more)

builtins.__import__ = interrupted
signal.signal(signal.SIGINT, signal.SIG_IGN if "ignored" in sys.argv else signal.default_int_handler)
sys.argv = ["hookline", "--version"]
main()
"""


def test_an_interrupt_while_the_commands_are_loaded_is_quiet() -> None:
    """Ctrl-C in a command's first second ends it as a shell expects, and shows nothing."""
    done = subprocess.run([sys.executable, "-c", LOADING], capture_output=True, text=True, check=False, timeout=60)
    assert (done.returncode, done.stdout, done.stderr) == (-signal.SIGINT, "", "")


def test_an_interrupt_that_is_ignored_stays_ignored() -> None:
    """A command in a shell's background, where Ctrl-C is not for it, goes on."""
    done = subprocess.run([sys.executable, "-c", LOADING, "ignored"], capture_output=True, text=True, check=False, timeout=60)
    assert (done.returncode, done.stdout.strip(), done.stderr) == (0, __version__, "")


@pytest.mark.parametrize("text", ["foo == 1", "data.order.total.amount > nothing", "type.surely('x')"])
def test_every_fault_of_a_filter_names_its_place(text: str) -> None:
    """Not only syntax errors."""
    with pytest.raises(FilterError) as told:
        compile_filter(text)
    assert told.value.position
    assert f"position {told.value.position}" in told.value.message


@pytest.mark.parametrize(
    "change",
    [{"email": 5}, {"email": None}, {"nonsense": 1}, {"consent": []}, {"created_at": "yesterday"}, {"customer_id": float("nan")}],
)
def test_every_fault_of_an_event_says_what_to_do(change: dict[str, object]) -> None:
    """The field, and the way out."""
    kind = event_type("newsletter.signed_up")
    check = compile_check(kind.schema, {})
    with pytest.raises(InputError) as told:
        check({**kind.example, **change}, "data")
    assert told.value.remedy
