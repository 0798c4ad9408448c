"""Ctrl-C and SIGTERM that wait until what is trained can be kept."""

import contextlib
import signal
from collections.abc import Callable, Iterator

from dropout_jax.cli import terminal
from dropout_jax.populations import processes


@contextlib.contextmanager
def defer() -> Iterator[Callable[[int, int], None]]:
    """Make Ctrl-C and SIGTERM wait for the end of the epoch, or of the run once all is trained.

    Yields a function of (done, total) that raises KeyboardInterrupt if one of them came, in any
    process, and not all is done. A second signal acts at once.

    Example:
      >>> with defer() as stop_if_asked:
      ...     for epoch in range(3):
      ...         stop_if_asked(epoch, 3)  # raises KeyboardInterrupt after Ctrl-C
    """
    asked, training = False, True

    def ask(*_: object) -> None:
        nonlocal asked
        if asked:
            raise KeyboardInterrupt
        asked = True
        if not training:
            terminal.complain("all is trained, and is being written; once more ends it at once")

    def stop_if_asked(done: int, total: int) -> None:
        nonlocal training
        training = done < total
        if processes.anywhere(asked) and training:
            raise KeyboardInterrupt

    usual = {number: signal.signal(number, ask) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stop_if_asked
    finally:
        for number, handler in usual.items():
            signal.signal(number, handler)
