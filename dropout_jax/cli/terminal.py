"""What reaches the terminal; this module alone prints."""

import contextlib
import sys
from collections.abc import Iterable

from rich import progress
from rich.console import Console, RenderableType
from rich.text import Text

from dropout_jax.cli.tables import printable

_LONGEST = 1_000  # characters of a message: what is given can be of any length
_WIDTH = 100  # columns of what is written to a file


class _Console(Console):
    """A console that falls silent if nobody reads it any more; rich's own would end the run."""

    def on_broken_pipe(self) -> None:
        """Print nothing from now on."""
        self.quiet = True


def say(lines: Iterable[RenderableType]) -> None:
    """Print tables and lines of text as they are ready; text with `no_wrap` stays on one line."""
    console = _Console(highlight=False)
    if not console.is_terminal:
        console.width = _WIDTH
    for line in lines:
        console.print(line, soft_wrap=isinstance(line, Text) and bool(line.no_wrap))


def say_plainly(line: str) -> None:
    """Print a line as it is, at once; a terminal's width does not break it."""
    print(line, flush=True)


def complain(why: object) -> None:
    """Print why the command fails, in one line on standard error."""
    message = printable(" ".join(str(why).split()))
    more = " …" if len(message) > _LONGEST else ""
    with contextlib.suppress(OSError):  # the exit status tells it, too
        print(f"dropout-jax: {message[:_LONGEST]}{more}", file=sys.stderr)


class _Bar(progress.Progress):
    """Bars of progress, and a line below them."""

    below: RenderableType = ""

    def stop(self) -> None:
        """Stop, also where it can no longer be seen."""
        with contextlib.suppress(OSError):
            super().stop()

    def get_renderables(self) -> Iterable[RenderableType]:
        """What is drawn, each time anew."""
        yield from super().get_renderables()
        if self.below:
            yield self.below


def progress_bar(shown: bool) -> _Bar:
    """A bar on standard error with the time left."""
    return _Bar(
        progress.TextColumn("{task.description}", markup=False),
        progress.BarColumn(),
        progress.TaskProgressColumn(),
        progress.TimeElapsedColumn(),
        progress.TextColumn("left"),
        progress.TimeRemainingColumn(),
        console=_Console(stderr=True),
        disable=not shown,
    )
