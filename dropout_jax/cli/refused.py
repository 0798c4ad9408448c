"""How a command ends that cannot do what it was asked: one line and an exit status."""

import contextlib
from collections.abc import Iterator


class Refused(Exception):  # noqa: N818, it reads as what happened: `except Refused`
    """The command ends with this message.

    Attributes:
      status: 1 the run could not be written, or most networks diverged; 2 bad input; 130
        interrupted.
    """

    def __init__(self, why: object, status: int) -> None:
        super().__init__(str(why))
        self.status = status


@contextlib.contextmanager
def bad_input() -> Iterator[None]:
    """Refuse, with status 2, what the user gave if it raises ValueError or OSError."""
    try:
        yield
    except OSError as error:
        why = f"{error.filename}: {error.strerror}" if error.filename else error
        raise Refused(why, 2) from error
    except ValueError as error:
        raise Refused(error, 2) from error
