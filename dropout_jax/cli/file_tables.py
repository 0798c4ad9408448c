"""What `inspect` shows: rich tables of the layers in files. Nothing is printed here."""

import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from rich import box
from rich.table import Table
from rich.text import Text

from dropout_jax.analysis.groups import describe_interval as groups_interval
from dropout_jax.analysis.paired import describe_interval as paired_interval
from dropout_jax.analysis.uniformity import MARGINS
from dropout_jax.cli.tables import comparison_cells, or_dash, printable_text
from dropout_jax.inspection import groups, spread
from dropout_jax.inspection.laws import references
from dropout_jax.inspection.measures import SIZE, Inspected, mean
from dropout_jax.inspection.results import whole_network
from dropout_jax.runs.wording import GINI, starts

_LABELS = {"entries": "all", "columns": "unit"}  # of views
_SHOWN = 8  # names of tensors that are skipped for one reason
_SIDE_BY_SIDE = 5  # files in a table: of more, a narrow output would leave columns out


def inspect_lines(
    files: Sequence[Inspected],
    compared: list[dict[str, Any]],
    n_baseline: int,
    paired: bool,
    remarks: Sequence[str],
) -> Iterator[Any]:
    """The remarks, the layers of one file, of several, or of two groups, and what was skipped.

    The groups are compared in rows of `groups.compare_groups`; without any, files stand alone.
    """
    for remark in remarks:
        yield printable_text(remark, "yellow", no_wrap=True)
    skipped = [file.skipped for file in files]
    if compared:
        skipped.append(groups.common_layers(files)[1])
        yield from _group_lines(compared, n_baseline, len(files) - n_baseline, paired)
    elif len(files) == 1:
        yield from _file_lines(files[0])
    else:
        yield from _side_by_side_lines(files)
    if len(files) > 1:
        yield from _sizes(files)
    tensors: dict[str, dict[str, None]] = {}  # {why: their names, each once}
    for of_file in skipped:
        for name, why in of_file.items():
            tensors.setdefault(why, {})[name] = None
    for why, names in tensors.items():
        more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
        yield printable_text(f"Skipped, {why}: {', '.join([*names][:_SHOWN])}{more}", style="dim")


def written_lines(written: Mapping[str, Path | None]) -> Iterator[Any]:
    """Where each thing is that was asked for."""
    for what, path in written.items():
        if path:
            yield printable_text(f"{what}: {path}", no_wrap=True)


def describe_sizes(of_run: bool) -> str:
    """What the sizes of layers are; which units are constant is known of runs alone."""
    constant = "constant, or " if of_run else ""
    return (
        "Norm: root of the sum of squares. Spectral norm: the most that a layer lengthens a "
        f"vector. Stable rank: (norm / spectral norm)². Dead units: {constant}without a weight."
    )


def _file_lines(file: Inspected) -> Iterator[Any]:
    """Gini of every layer of a file, beside its value under the laws that weights start from."""
    law_ginis = {law: measures["gini"] for law, measures in references().items()}
    yield printable_text(file.path, no_wrap=True)
    table = _table_of_layers("Gini of |w|: 0 is uniform")
    for heading in ("in → out", "weights", "start", "Gaussian", "by unit", "shuffled"):
        table.add_column(heading, justify="right", no_wrap=True)
    for name, layer in file.layers.items():
        views = file.values[name]
        weights, *units = (or_dash(mean(views[view]["gini"]), ".3f") for view in spread.VIEWS)
        laws = (f"{law_ginis[law]:.3f}" for law in (layer.law, "Gaussian"))
        shape = "{} → {}".format(*layer.shape)
        table.add_row(printable_text(name), shape, weights, *laws, *units)
    yield table
    n_networks = _n_networks(file)
    ginis = [gini for values in file.values.values() for gini in values["entries"]["gini"]]
    whose = f"those of {n_networks} seeds that can be measured"
    whose = whose if any(map(math.isnan, ginis)) else f"{n_networks} seeds"
    seeds = f"Mean over {whose}. " if n_networks > 1 else ""
    start = starts({layer.law: law_ginis[layer.law] for layer in file.layers.values()})
    yield Text(
        f"{GINI} {seeds}Weights: all of a layer. Start: the law that layers of such names usually "
        f"start from, {start}. By unit: of the weights of one unit, the mean over units. "
        "Shuffled: the same after the weights of the layer are shuffled. Units without any weight "
        "are left out. –: units of one input, or nothing to measure.",
        style="dim",
    )
    yield from _sizes([file])
    in_layers = sum(math.prod(layer.shape) * layer.n_networks for layer in file.layers.values())
    numbers = f"The file holds {file.n_numbers:,} numbers, {in_layers:,} of them in these layers."
    yield Text(f"{numbers} {describe_sizes(n_networks > 1)}", style="dim")


def _n_networks(file: Inspected) -> int:
    return max(layer.n_networks for layer in file.layers.values())


def _sizes(files: Sequence[Inspected]) -> Iterator[Table]:
    """The size of the weights: of each layer if there is one file, and of each whole network."""
    alone = len(files) == 1
    table = _table_of_layers("Size of the weights", "layer" if alone else "file")
    formats = {"norm": ".3g"}
    if alone:
        formats |= {"spectral_norm": ".3g", "stable_rank": ".1f"}  # which are of single layers
    is_mean = alone and _n_networks(files[0]) > 1
    formats["dead_units"] = ",.1f" if is_mean else ",.0f"
    for heading in ("count", *formats):
        table.add_column(heading.replace("_", " "), justify="right")

    def add(name: str, count: int, size: Mapping[str, float]) -> None:
        numbers = (or_dash(size[field], form) for field, form in formats.items())
        table.add_row(printable_text(name), f"{count:,}", *numbers)

    for name, layer in files[0].layers.items() if alone else ():
        size = files[0].values[name][SIZE]
        add(name, math.prod(layer.shape), {field: mean(size[field]) for field in formats})
    table.add_section()
    for file in files:
        if len(file.layers) > alone and (whole := whole_network(file)):
            which, size = whole
            add(which if alone else f"{file.path}: {which}", size.weights, size._asdict())
    if table.row_count:
        yield table


def _table_of_layers(title: str, first: str = "layer") -> Table:
    """A table with room for long names of layers, whatever the width of the terminal."""
    table = Table(title=printable_text(title), title_justify="left", box=box.SIMPLE)
    table.add_column(first, overflow="fold", min_width=12)
    return table


def _side_by_side_lines(files: Sequence[Inspected]) -> Iterator[Any]:
    """Gini of every layer in several files, a few a table, and the difference between two."""
    names = list(dict.fromkeys(name for file in files for name in file.layers))
    for i, file in enumerate(files, start=1):
        yield printable_text(f"file {i}: {file.path}", no_wrap=True)
    for start in range(0, len(files), _SIDE_BY_SIDE):
        shown = files[start : start + _SIDE_BY_SIDE]
        table = _table_of_layers("Gini of |w|: 0 is uniform")
        table.add_column("of")
        for i in range(start, start + len(shown)):
            table.add_column(f"file {i + 1}", justify="right", no_wrap=True)
        if len(files) == 2:
            table.add_column("difference", justify="right")
        for name in names:
            for view, label in _LABELS.items():
                ginis = [
                    mean(file.values[name][view]["gini"]) if name in file.layers else math.nan
                    for file in shown
                ]
                cells = [or_dash(gini, ".3f") for gini in ginis]
                if len(files) == 2:
                    cells.append(or_dash(ginis[1] - ginis[0], "+.3f"))
                table.add_row(printable_text(name if view == "entries" else ""), label, *cells)
        yield table
    if not any(all(name in file.layers for file in files) for name in names):
        yield Text("No layer name occurs in all networks.", style="bold")
    advice = ""
    if all(layer.n_networks == 1 for file in files for layer in file.layers.values()):
        advice = " One network each tells nothing about chance: "
        advice += "compare groups with --baseline and --against."
    yield Text(f"{GINI}{advice}", style="dim")


def _group_lines(
    rows: list[dict[str, Any]], n_baseline: int, n_against: int, paired: bool
) -> Iterator[Any]:
    """Gini of two groups of files with intervals and verdicts."""
    table = _table_of_layers("Gini of |w|, against minus baseline: 0 is uniform")
    table.add_column("of")
    for heading in ("base", "against"):
        table.add_column(heading, justify="right")
    table.add_column("difference [95 % interval]", justify="right", min_width=16)
    table.add_column("p", justify="right")
    table.add_column("verdict", min_width=12)
    rows = [row for row in rows if row["measure"] == "gini"]
    for row in rows:
        layer = row["layer"] if row["view"] == "entries" else ""
        table.add_row(printable_text(layer), _LABELS[row["view"]], *comparison_cells(row))
    yield table
    n_known = sum(not math.isnan(row["difference"]) for row in rows)
    how = f"{n_baseline} and {n_against} files; {groups_interval(n_baseline, n_against)}"
    how += "; p by permuting the files"
    if paired:
        how = f"{n_baseline} pairs of files; {paired_interval(n_baseline)}; p by sign flips"
    yield Text(
        f"{how}, adjusted over {n_known} comparisons. Negligible: two tests show that the Gini "
        f"differs by less than {MARGINS['gini']:g}. {GINI}",
        style="dim",
    )
