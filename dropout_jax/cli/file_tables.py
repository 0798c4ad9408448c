"""What `inspect` shows: rich tables of the layers in files. Nothing is printed here."""

from collections.abc import Iterator, Mapping, Sequence
from math import hypot, isnan, nan
from typing import Any

from rich import box
from rich.table import Table
from rich.text import Text

from dropout_jax.analysis.groups import said_of_interval as groups_interval
from dropout_jax.analysis.paired import said_of_interval as paired_interval
from dropout_jax.analysis.uniformity import MARGINS
from dropout_jax.cli.tables import comparison_cells, named
from dropout_jax.inspection.measures import SIZE, Inspected, mean
from dropout_jax.runs.wording import GINI, SIZES, starts

_SHOWN = 8  # names of tensors that are skipped for one reason


def file_lines(found: Inspected, references: dict[str, dict[str, float]]) -> Iterator[Any]:
    """Gini of every layer of a file, beside its value under the laws that weights start from."""
    n_networks = max(layer.n_networks for layer in found.layers.values())
    yield _unbroken(str(found.path))
    table = _table_of_layers("Gini of |w|: 0 is uniform")
    for heading in ("in → out", "weights", "start", "Gaussian", "by unit", "shuffled"):
        table.add_column(heading, justify="right", no_wrap=True)
    for name, layer in found.layers.items():
        of = found.values[name]
        table.add_row(
            named(name),
            f"{layer.shape[0]} → {layer.shape[1]}",
            _or_dash(mean(of["entries"]["gini"]), ".3f"),
            f"{references[layer.law]['gini']:.3f}",
            f"{references['Gaussian']['gini']:.3f}",
            _or_dash(mean(of["columns"]["gini"]), ".3f"),
            _or_dash(mean(of["columns_shuffled"]["gini"]), ".3f"),
        )
    yield table
    seeds = f"Mean over {n_networks} seeds. " if n_networks > 1 else ""
    laws = {layer.law: references[layer.law]["gini"] for layer in found.layers.values()}
    yield Text(
        f"{GINI} {seeds}Weights: all of a layer. Start: the law that layers of such names usually "
        f"start from, {starts(laws)}. By unit: of the weights of one unit, the mean over units. "
        "Shuffled: the same after the weights of the layer are shuffled. Units without any weight "
        "are left out. –: units of one input, or nothing to measure.",
        style="dim",
    )
    yield _sizes(found)
    in_kernels = sum(
        layer.shape[0] * layer.shape[1] * layer.n_networks for layer in found.layers.values()
    )
    numbers = f"The file holds {found.n_numbers:,} numbers, {in_kernels:,} of them in these layers."
    yield Text(f"{numbers} {SIZES}", style="dim")


def _sizes(found: Inspected) -> Table:
    """How large the weights of each layer are, and of a single network all of them."""
    table = _table_of_layers("Size of the weights")
    for heading in ("count", "norm", "spectral norm", "stable rank", "dead units"):
        table.add_column(heading, justify="right")
    sizes = {
        name: {of: mean(v) for of, v in views[SIZE].items()} for name, views in found.values.items()
    }
    for name, size in sizes.items():
        layer = found.layers[name]
        table.add_row(
            named(name),
            f"{layer.shape[0] * layer.shape[1]:,}",
            _or_dash(size["norm"], ".3g"),
            _or_dash(size["spectral_norm"], ".3g"),
            _or_dash(size["stable_rank"], ".1f"),
            _or_dash(size["dead_units"], ".3g"),
        )
    known = [size for size in sizes.values() if not isnan(size["norm"])]
    if known and len(sizes) > 1 and all(one.n_networks == 1 for one in found.layers.values()):
        weights, dead = (int(sum(size[of] for size in known)) for of in ("weights", "dead_units"))
        norm = hypot(*(size["norm"] for size in known))
        table.add_section()
        which = "all layers" if len(known) == len(sizes) else "all that are measured"
        table.add_row(which, f"{weights:,}", f"{norm:.3g}", "", "", str(dead))
    return table


def _or_dash(value: float, form: str) -> str:
    """A number, or a dash for none."""
    return "–" if isnan(value) else f"{value:{form}}"


def _unbroken(line: str) -> Text:
    """A line that is not folded, so that a name of a file can be copied."""
    text = named(line)
    text.no_wrap = True
    return text


def _table_of_layers(title: str) -> Table:
    """A table with room for long names of layers, whatever the width of the terminal."""
    table = Table(title=named(title), title_justify="left", box=box.SIMPLE)
    table.add_column("layer", overflow="fold", min_width=12)
    return table


def side_by_side_lines(found: Sequence[Inspected]) -> Iterator[Any]:
    """Gini of every layer in several files, and the difference between two."""
    names = list(dict.fromkeys(name for one in found for name in one.layers))
    table = _table_of_layers("Gini of |w|: 0 is uniform")
    table.add_column("of")
    for i, one in enumerate(found, start=1):
        yield _unbroken(f"file {i}: {one.path}")
        table.add_column(f"file {i}", justify="right", no_wrap=True)
    if len(found) == 2:
        table.add_column("difference", justify="right")
    for name in names:
        for view, of in (("entries", "all"), ("columns", "unit")):
            values = [
                mean(one.values[name][view]["gini"]) if name in one.layers else nan for one in found
            ]
            cells = [_or_dash(value, ".3f") for value in values]
            if len(found) == 2:
                cells.append(_or_dash(values[1] - values[0], "+.3f"))
            table.add_row(named(name if view == "entries" else ""), of, *cells)
    yield table
    if not any(all(name in one.layers for one in found) for name in names):
        yield Text("No layer name occurs in all networks.", style="bold")
    advice = "compare groups with --baseline and --against."
    yield Text(f"{GINI} One network each tells nothing about chance: {advice}", style="dim")


def groups_lines(
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
    for row in rows:
        if row["measure"] == "gini":
            of = {"entries": "all", "columns": "unit"}[row["view"]]
            table.add_row(named(row["layer"] if of == "all" else ""), of, *comparison_cells(row))
    yield table
    files = f"{n_baseline} pairs of files" if paired else f"{n_baseline} and {n_against} files"
    of_pairs, of_groups = paired_interval(n_baseline), groups_interval(n_baseline, n_against)
    how = of_pairs if paired else of_groups
    test = "sign flips" if paired else "permuting the files"
    family = sum(row["measure"] == "gini" for row in rows)
    yield Text(
        f"{files}; {how}; p by {test}, "
        f"adjusted over {family} comparisons. Negligible: two tests show that the Gini differs by "
        f"less than {MARGINS['gini']:g}. {GINI}",
        style="dim",
    )


def remark_lines(remarks: Sequence[str]) -> Iterator[Any]:
    """What is to be known before the numbers are read, a line each."""
    for remark in remarks:
        text = _unbroken(remark)
        text.stylize("yellow")
        yield text


def skipped_lines(skipped: Sequence[Mapping[str, str]]) -> Iterator[Any]:
    """Why tensors were skipped, from {name: why} of each file: a line for each reason."""
    names: dict[str, list[str]] = {}
    for of_file in skipped:
        for name, why in of_file.items():
            names.setdefault(why, []).append(name)
    for why, of in names.items():
        unique = list(dict.fromkeys(of))
        more = f" and {len(unique) - _SHOWN} more" if len(unique) > _SHOWN else ""
        yield named(f"Skipped, {why}: {', '.join(unique[:_SHOWN])}{more}", style="dim")
