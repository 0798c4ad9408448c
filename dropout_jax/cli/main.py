"""The entry point of `dropout-jax`: from the words of a command line to its exit status.

Exit status:
  0    The run is done.
  1    More than half of the networks diverged, the run or the output could not be written,
       another process was lost, or something unforeseen failed.
  2    The input was bad: one line says what, and nothing was written.
  130  The run was interrupted: what is done is kept.

JAX is imported once the arguments have been understood.
"""

import contextlib
import gc
import io
import logging
import os
import signal
import sys
import tempfile
import traceback
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from importlib.metadata import version
from time import perf_counter
from typing import Any

import tyro

from dropout_jax.cli.arguments import Compare, Diff, Doctor, Figures, Inspect, List, Train, Training
from dropout_jax.cli.checks import check
from dropout_jax.cli.conditions import read_conditions
from dropout_jax.cli.errors import CommandError, parsing_line, refuse_bad_input
from dropout_jax.cli.terminal import complain, say_plainly

_LISTS = ("--features", "--rates", "--sweep")  # options whose numbers commas may separate
COMMANDS = {"compare": Compare, "train": Train, "inspect": Inspect, "doctor": Doctor}
COMMANDS |= {"list": List, "diff": Diff, "figures": Figures}


def main() -> None:
    """Run `dropout-jax` and exit with its status."""
    gc.set_threshold(100_000, 50, 100)  # imports and figures make many objects, and little garbage
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:  # it was closed
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: SIM115, to the end
        stream = getattr(sys, name)
        if isinstance(stream, io.TextIOWrapper):  # a terminal that knows no ± shows a ?
            stream.reconfigure(errors="replace")
    sys.unraisablehook = lambda _: None  # threads of tensorstore outlive what they failed at
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)  # at once: while JAX is imported, it may crash
    status = run_command(sys.argv[1:])
    if status == 1 or (status == 130 and not _is_one_of_several()):
        # The usual way out waits for what is still compiled, and for all processes, also lost ones.
        _exit_at_once(status)
    gc.freeze()  # a last search for garbage would take half a second
    sys.exit(status)


def _is_one_of_several() -> bool:
    """Whether other processes train with this one."""
    return "jax" in sys.modules and sys.modules["jax"].distributed.is_initialized()


def _exit_at_once(status: int) -> None:
    """End this process without waiting for its threads or for other processes."""
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError):  # nobody reads it
            stream.flush()
    os._exit(status)


def run_command(argv: Sequence[str]) -> int:
    """Run the command line `argv` and return its exit status."""
    try:
        status = _run(argv)
        sys.stdout.flush()
        return status
    except CommandError as error:
        why, status = str(error), error.status
    except KeyboardInterrupt:
        why, status = "interrupted", 130
    except OSError as error:  # all files are written elsewhere
        sys.stdout = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115, for what is left over
        why, status = f"the output could not be written: {error}", 1
    except Exception as error:
        why, status = f"{type(error).__name__}: {error}"[:300], 1
        with contextlib.suppress(OSError):
            file, path = tempfile.mkstemp(prefix="dropout-jax-", suffix=".log", text=True)
            with open(file, "w", encoding="utf-8", errors="backslashreplace") as log:
                log.write(traceback.format_exc())
            why += f"; the traceback is in {path}"
    complain(why)
    return status


def _run(argv: Sequence[str]) -> int:
    """Run a command line; what it cannot do is a `CommandError`."""
    if list(argv) == ["--version"]:
        say_plainly(version("dropout_jax"))
        return 0
    arguments = _parse(argv)
    if arguments is None:
        return 0
    for name in ("absl", "asyncio", "matplotlib"):  # what matters of theirs is raised
        logging.getLogger(name).setLevel(logging.CRITICAL)
    with refuse_bad_input():
        command = _command(arguments)
    if signal.getsignal(signal.SIGINT) is signal.SIG_DFL:  # set by `main`
        signal.signal(signal.SIGINT, signal.default_int_handler)
    return command()


def _command(arguments: Training | Doctor | Inspect | List | Diff | Figures) -> Callable[[], int]:
    """The function that runs the command. Importing its module loads JAX."""
    begun = perf_counter()
    if isinstance(arguments, List | Diff | Figures):
        from dropout_jax.cli import saved

        functions = {List: saved.list_runs, Diff: saved.diff, Figures: saved.figures}
        return partial(functions[type(arguments)], arguments)
    check(arguments)
    if isinstance(arguments, Inspect):
        from dropout_jax.cli.inspect import inspect

        return partial(inspect, arguments)
    given = read_conditions(arguments)
    if isinstance(arguments, Training):
        from dropout_jax.cli.train import train

        return partial(train, arguments, given, perf_counter() - begun)
    from dropout_jax.cli.doctor import diagnose

    return partial(diagnose, arguments, given)


def _parse(argv: Sequence[str]) -> Any:
    """The arguments of a command; None if its help was asked for, and is printed."""
    errors = io.StringIO()
    try:
        with contextlib.redirect_stderr(errors):
            return tyro.extras.subcommand_cli_from_dict(
                COMMANDS, prog="dropout-jax", args=list(_without_commas(argv))
            )
    except SystemExit as stop:
        if stop.code:
            raise CommandError(parsing_line(errors.getvalue(), COMMANDS), 2) from None
        return None


def _without_commas(argv: Sequence[str]) -> Iterator[str]:
    """The words, with a list such as 256,256 split into 256 256."""
    in_list = False
    for word in argv:
        if word.startswith("--"):
            in_list = word.partition("=")[0] in _LISTS
            word = word.replace("=", ",", 1) if in_list else word  # --rates=0,1: split at =, too
        yield from word.split(",") if in_list else [word]
