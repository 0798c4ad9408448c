"""A command that cannot do what it was asked ends with one line and an exit status."""

import contextlib
import difflib
import re
from collections.abc import Iterator, Mapping
from itertools import takewhile
from typing import Any

_HELP = ("Argument", "For full help", "Perhaps you")  # what follows the message of tyro's errors
_KINDS = {"INT": "be a whole number", "FLOAT": "be a number"}  # what options take, by tyro's words
_KINDS |= {"[INT": "hold whole numbers", "[FLOAT": "hold numbers"}


class CommandError(Exception):
    """The command ends with this message and exit status, one of those in `main`."""

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


def _choices(given: re.Match[str]) -> str:
    """The values that an option takes, read from tyro's message."""
    return ", ".join(sorted(set(re.findall(r"'([^']+)'", given[1])) - {"None"}))


def parsing_line(drawn: str, commands: Mapping[str, Any]) -> str:
    """The message of tyro's error, however it is drawn: without frame, title and help."""
    plain = re.sub(r"\x1b\[[0-9;]*m|[\u2500-\u257f]", "", drawn)
    unframed = (line.strip(" |+=") for line in plain.splitlines())
    lines = [line for line in unframed if line.strip("-")]
    message = " ".join(takewhile(lambda line: not line.startswith(_HELP), lines[1:] or lines))
    message = message.replace(" Available subcommands", "; available commands")
    message = re.sub(r"(?<=one of )\(([^)]*)\)", _choices, message)
    if misread := re.match(r"Error parsing (--\S+): .*: (.+)", message):
        return _misread_line(misread[1], misread[2], plain) or message
    misplaced = " or misplaced" in message
    message = re.sub(r" or misplaced| \(applied to [^)]*\)", "", message)
    known = [*commands, *re.findall(r"^\W*?(--[a-z][a-z-]*)", plain, re.MULTILINE)]
    unknown = re.search(r"Unrecognized options: (.+)", message)
    words = re.findall(r"^[^\s,;=]+|--[^\s,;=]+", unknown[1]) if unknown else []
    hints, meant = [], []
    for wrong in words:
        field = wrong.lstrip("-").replace("-", "_")
        takers = [name for name, one in commands.items() if field in one.__dataclass_fields__]
        if misplaced and takers:
            hints.append(f"{wrong} is an option of {', '.join(takers)}")
        else:
            meant += difflib.get_close_matches(wrong, sorted({*known} - {*words}), 1)
    hints += [f"did you mean {' and '.join(meant)}?"] if meant else []
    return "; ".join([message, *hints])


def _misread_line(option: str, given: str, plain: str) -> str:
    """A line: what the option takes, read from `plain`, and what it got; empty if unknown."""
    kind = re.search(rf"{option} (\[?(?:INT|FLOAT))", plain)
    got = re.sub(r"^\[?['\"]|['\"]\]?$", "", given).replace("', '", " ")
    return f"{option} must {_KINDS[kind[1]]}, got {got}" if kind else ""
