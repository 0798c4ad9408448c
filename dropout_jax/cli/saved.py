"""`dropout-jax list`, `diff` and `figures`: runs that are done, from their folders."""

import json
from datetime import datetime
from pathlib import Path
from typing import Any

from rich.table import Table

from dropout_jax.cli import terminal
from dropout_jax.cli.arguments import Diff, Figures, List
from dropout_jax.cli.refused import bad_input
from dropout_jax.cli.tables import escaped, named
from dropout_jax.runs.wording import flat, in_short, picture


def list_runs(arguments: List) -> int:
    """Print the runs in a folder: date, data, conditions and answer."""
    table = Table(box=None, pad_edge=False)
    for heading in ("run", "written", "data", "seeds", "answer"):
        table.add_column(heading)
    with bad_input():
        if not arguments.folder.is_dir():
            raise ValueError(f"the folder of runs must exist, got {arguments.folder}")
        runs = sorted(path.parent for path in arguments.folder.glob("*/summary.json"))
    for run in runs:
        try:
            told, summary = _read(run)
            written = datetime.fromtimestamp((run / "summary.json").stat().st_mtime)
            cells = (
                run.name,
                f"{written:%Y-%m-%d %H:%M}",
                told.get("dataset", "own"),
                summary["n_seeds"],
                in_short(summary) or "nothing is compared",
            )
        except (ValueError, KeyError, TypeError):
            continue  # another's folder
        table.add_row(*map(named, cells))
    if table.row_count:
        terminal.say([table])
    else:
        terminal.say_plainly(f"There is no run in {escaped(arguments.folder)}.")
    return 0


def diff(arguments: Diff) -> int:
    """Print what differs between two runs: settings first, then verdicts."""
    with bad_input():
        both = [_read(run) for run in (arguments.one, arguments.other)]
        settings = [flat(told) for told, _ in both]
        verdicts = [
            {
                f"{name}, layer {layer}, {view}": f"{cell.verdict} {cell.said}"
                for (name, layer), cells in picture(summary).items()
                for view, cell in cells.items()
            }
            for _, summary in both
        ]
    table = Table(box=None, pad_edge=False)
    for heading in ("", arguments.one, arguments.other):
        table.add_column(named(heading))
    for one, other in (settings, verdicts):
        for key in {**one, **other}:
            if one.get(key) != other.get(key):
                table.add_row(*map(named, (key, one.get(key, "–"), other.get(key, "–"))))
    if table.row_count:
        terminal.say([table])
    else:
        terminal.say_plainly("The two runs have the same settings and verdicts.")
    return 0


def figures(arguments: Figures) -> int:
    """Draw the figures of a run again, from its folder alone."""
    from dropout_jax.io.figures import write_figure
    from dropout_jax.runs import pictures
    from dropout_jax.runs.saved import load_run

    with bad_input():
        run = load_run(arguments.run)
    out = arguments.out or arguments.run / ("slides" if arguments.slides else "figures")
    how = {"formats": ("png", "pdf"), "dpi": 300} if arguments.slides else {}
    for name, figure in pictures.figures(run, arguments.slides).items():
        write_figure(out, name, figure, **how)
    terminal.say_plainly(f"Figures: {escaped(out)}")
    return 0


def _read(run: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """The configuration and the summary of a run.

    Raises:
      ValueError: if the folder holds none.
    """
    try:
        told, summary = (
            json.loads((run / f"{name}.json").read_text(encoding="utf-8"))
            for name in ("config", "summary")
        )
        told, summary = dict(told), dict(summary)
    except (OSError, ValueError, TypeError) as error:
        raise ValueError(f"expected the folder of a run, got {run}") from error
    return told, summary
