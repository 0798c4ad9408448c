"""Ctrl-C and SIGTERM that wait for the end of an epoch, so that it can be saved."""

import contextlib
import signal
from collections.abc import Callable, Iterator

from dropout_jax.populations import processes


@contextlib.contextmanager
def defer() -> Iterator[Callable[[int, int], None]]:
    """Make Ctrl-C and SIGTERM wait for the end of the epoch.

    Yields a function of (done, total) that raises KeyboardInterrupt if one of them came, in any
    process. A second signal, or one after training, acts at once.

    Example:
      >>> with defer() as stop_if_asked:
      ...     for epoch in range(3):
      ...         stop_if_asked(epoch, 3)  # raises KeyboardInterrupt after Ctrl-C
    """
    asked, training = False, True

    def ask(*_: object) -> None:
        nonlocal asked
        if asked or not training:
            raise KeyboardInterrupt
        asked = True

    def stop_if_asked(done: int, total: int) -> None:
        nonlocal training
        training = done < total
        if processes.anywhere(asked):
            raise KeyboardInterrupt

    usual = {number: signal.signal(number, ask) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stop_if_asked
    finally:
        for number, handler in usual.items():
            signal.signal(number, handler)
