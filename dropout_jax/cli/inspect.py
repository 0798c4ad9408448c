"""`dropout-jax inspect`: measure files of weights, show what was found, write it if asked."""

import json
import os
import sys
import warnings
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from dropout_jax.cli import backend, file_tables, terminal
from dropout_jax.cli.arguments import Inspect
from dropout_jax.cli.errors import refuse_bad_input
from dropout_jax.cli.tables import printable
from dropout_jax.inspection import groups, measures, results, tensors
from dropout_jax.inspection.measures import Inspected
from dropout_jax.io import writers


def inspect(arguments: Inspect) -> int:
    """Measure the files, write all numbers if asked, and print a table; return the exit status."""
    paths = (*arguments.files, *arguments.baseline, *arguments.against)
    n_baseline, draws = len(arguments.baseline), bool(arguments.report or arguments.figures)
    with refuse_bad_input():
        backend.start()
        _check_paths(arguments, paths)
        with warnings.catch_warnings(action="ignore"):  # as other libraries do
            found = _measure(paths, arguments.layout, profiled=draws)
        sides = found[:n_baseline], found[n_baseline:]
        compared = groups.compare_groups(*sides, arguments.paired) if n_baseline else []
        if arguments.csv:
            header = list(compared[0]) if compared else results.Row._fields
            rows = [list(row.values()) for row in compared] or results.tidy(found)
            writers.write_table(arguments.csv, header, rows)
        remarks = _remarks(arguments, paths, found)
        if draws:
            _draw(arguments, found, compared, remarks)
    terminal.say(file_tables.inspect_lines(found, compared, n_baseline, arguments.paired, remarks))
    written = {"Table": arguments.csv, "Figures": arguments.figures, "To look at": arguments.report}
    terminal.say(file_tables.written_lines(written))
    return 0


def _check_paths(arguments: Inspect, paths: Sequence[Path]) -> None:
    """Raise ValueError or OSError if a path is given twice, or a file to write is in the way."""
    # a file beside the folder that it is in would count as another network
    _check_once("each file", ((p, one) for p in paths for one in tensors.input_files(p)[:1]))
    figure = arguments.figures and arguments.figures / "depth.png"  # the first of them
    if targets := [path for path in (arguments.csv, arguments.report, figure) if path]:
        _check_once("each file to write", zip(targets, targets, strict=True))
        inputs = [file for path in paths for file in tensors.input_files(path)]
        for target in targets:
            writers.check_target(target, inputs)


def _remarks(arguments: Inspect, paths: Sequence[Path], found: Sequence[Inspected]) -> list[str]:
    """What is to be known before the numbers are read."""
    remark = groups.shape_remark(found)
    if n_baseline := len(arguments.baseline):
        remark = groups.too_few_remark(n_baseline, len(arguments.against), arguments.paired)
    names = {path: line for path in paths if (line := _names_of_layers(path))}
    layers = [f"{path}: {line}" if len(paths) > 1 else line for path, line in names.items()]
    return [*results.warning_lines(found), *([remark] if remark else []), *layers]


def _check_once(what: str, files: Iterable[tuple[Path, Path]]) -> None:
    """Raise ValueError if two paths, given with the file that each means, mean the same."""
    seen = set()
    for path, file in files:
        if (real := os.path.realpath(file)) in seen:
            raise ValueError(f"{what} must be named once, got {path} again")
        seen.add(real)


def _draw(
    arguments: Inspect,
    found: list[Inspected],
    compared: list[dict[str, Any]],
    remarks: list[str],
) -> None:
    """Write the page and the figures that were asked for."""
    from dropout_jax.cli import file_pictures
    from dropout_jax.io.figures import write_figure
    from dropout_jax.runs import layers_page

    with warnings.catch_warnings(action="ignore"):  # of characters that no font has
        shown = file_pictures.layers_shown(found, compared, len(arguments.baseline), remarks)
        if arguments.report:
            writers.write_text(arguments.report, layers_page.page(shown))
        if arguments.figures:
            for name, figure in layers_page.figures(shown).items():
                write_figure(arguments.figures, name, figure)


def _measure(paths: Sequence[Path], layout: str | None, *, profiled: bool) -> list[Inspected]:
    """What is in each of the files, with a progress bar a file."""
    found = []
    with terminal.progress_bar(shown=sys.stderr.isatty()) as bar:
        for path in paths:
            task = bar.add_task(printable(path.name), total=None, visible=False)  # until read

            def tell(done: int, total: int, task: Any = task) -> None:
                bar.update(task, completed=done, total=total, visible=True)

            found.append(measures.inspect(path, layout, tell, profiled=profiled))
    return found


def _names_of_layers(run: Path) -> str:
    """Which kernel each layer is, if this is the folder of a run of no MLP; else it is empty."""
    try:
        summary = run / "summary.json"
        names = json.loads(summary.read_bytes())["layers"] if summary.is_file() else []
        line = ", ".join(f"layer {l} is {name}" for l, name in enumerate(names))
    except Exception:  # a run of an MLP, or whatever file is called so
        return ""
    return f"{line[:1].upper()}{line[1:]}"
