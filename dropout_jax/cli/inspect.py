"""`dropout-jax inspect`: measure files of weights, show what was found, write it if asked."""

import sys
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from dropout_jax.cli import backend, file_tables, terminal
from dropout_jax.cli.arguments import Inspect
from dropout_jax.cli.refused import bad_input
from dropout_jax.cli.tables import escaped
from dropout_jax.inspection import measures, spread, tensors
from dropout_jax.inspection.measures import Inspected
from dropout_jax.io import writers


def inspect(arguments: Inspect) -> int:
    """Measure the files, write all numbers if asked, and print a table; return the exit status."""
    with bad_input():
        backend.configure()
        backend.start()
        paths = (*arguments.files, *arguments.baseline, *arguments.against)
        if arguments.csv:
            inputs = (file for path in paths for file in tensors.read_from(path))
            writers.check_target(arguments.csv, inputs)
        with warnings.catch_warnings(action="ignore"):  # as other libraries do
            found = _measure(paths, arguments.layout)
        n = len(arguments.baseline), len(arguments.against)
        groups = (found[: n[0]], found[n[0] :])
        compared = measures.compare_groups(*groups, arguments.paired) if n[0] else []
        if arguments.csv:
            _write(arguments.csv, found, compared)
    skipped = [one.skipped for one in found]
    if compared:
        skipped.append(measures.common_layers(found)[1])
        lines = file_tables.groups_lines(compared, n, arguments.paired)
    elif len(found) == 1:
        lines = file_tables.file_lines(found[0], spread.references())
    else:
        lines = file_tables.side_by_side_lines(found)
    terminal.say((*lines, *file_tables.skipped_lines(skipped)))
    return 0


def _measure(paths: Sequence[Path], layout: str | None) -> list[Inspected]:
    """What is in each of the files, with a progress bar a file."""
    found = []
    with terminal.progress_bar(shown=sys.stderr.isatty()) as bar:
        for path in paths:
            task = bar.add_task(escaped(path.name), total=None, visible=False)  # until read

            def tell(done: int, total: int, task: Any = task) -> None:
                bar.update(task, completed=done, total=total, visible=True)

            found.append(measures.inspect(path, layout, tell))
    return found


def _write(path: Path, found: list[Inspected], compared: list[dict[str, Any]]) -> None:
    """Write every number of the files, or every comparison of the groups, as CSV."""
    if compared:
        rows = [list(row.values()) for row in compared]
        writers.write_table(path, list(compared[0]), rows)
    else:
        header = ("file", "seed", "layer", "view", "measure", "value")
        writers.write_table(path, header, measures.tidy(found))
