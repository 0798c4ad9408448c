"""A command that cannot do what it was asked ends with one line and an exit status."""

import contextlib
from collections.abc import Iterator


class CommandError(Exception):
    """The command ends with this message.

    Attributes:
      status: 1 the run could not be written, or most networks diverged; 2 bad input; 130
        interrupted.
    """

    def __init__(self, why: object, status: int) -> None:
        super().__init__(str(why))
        self.status = status


@contextlib.contextmanager
def refuse_bad_input() -> Iterator[None]:
    """End the command with status 2 if what the user gave raises ValueError or OSError."""
    try:
        yield
    except OSError as error:
        why = f"{error.filename}: {error.strerror}" if error.filename else error
        raise CommandError(why, 2) from error
    except ValueError as error:
        raise CommandError(error, 2) from error
