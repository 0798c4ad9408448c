"""Processes of tests. They share what is imported, which costs more than most of them compute."""

import atexit
import multiprocessing
import os
from collections.abc import Callable
from multiprocessing.process import BaseProcess
from pathlib import Path

PROCESSES = multiprocessing.get_context("forkserver")
PROCESSES.set_forkserver_preload(
    [
        "dropout_jax.cli.train",
        "dropout_jax.runs.write",
        "orbax.checkpoint",
        "sklearn.datasets",
        "pytest",
    ]
)


def start(log: Path, function: Callable, *arguments) -> BaseProcess:
    """A process that calls the function; what it says goes to `log`.out and `log`.err."""
    process = PROCESSES.Process(target=_alone, args=(log, function, *arguments), daemon=True)
    process.start()
    return process


def _alone(log: Path, function: Callable, *arguments) -> None:
    for descriptor, name in ((1, "out"), (2, "err")):
        os.dup2(os.open(log.with_suffix(f".{name}"), os.O_WRONLY | os.O_CREAT), descriptor)
    try:
        function(*arguments)
    finally:
        atexit._run_exitfuncs()  # pyright: ignore[reportAttributeAccessIssue]  else none does
