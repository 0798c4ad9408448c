"""What the command line shows: rich tables and lines, made from a summary. Nothing is printed here.

Names of conditions, files and tensors are users' text: never read as markup, and `escaped`.
"""

from collections.abc import Iterator, Mapping, Sequence
from math import isnan, nan
from typing import TYPE_CHECKING, Any

from rich import box
from rich.console import Console, RenderableType
from rich.progress import (
    BarColumn,
    Progress,
    TaskProgressColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    from dropout_jax.inspection.measures import Inspected

SHOWN = 8  # names of tensors that are skipped for one reason


def escaped(text: object) -> str:
    r"""Text without what steers a terminal or turns its direction: that is shown as an escape.

    Example:
      >>> print(escaped("layer\x1b[2J ½"))
      layer\x1b[2J ½
    """
    return "".join(
        c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in str(text)
    )


def _name(text: object, style: str = "") -> Text:
    return Text(escaped(text), style=style)


def progress_bar(shown: bool) -> Progress:
    """A bar on standard error with the time left."""
    return Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        TaskProgressColumn(),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
        console=Console(stderr=True),
        disable=not shown,
    )


def run_lines(
    summary: dict[str, Any], question: str, sentences: list[str]
) -> Iterator[RenderableType]:
    """The errors, a table per condition, the notes, and the answer in words."""
    conditions, statistics = summary["conditions"], summary["statistics"]
    width = max(8, *map(len, conditions))
    for name, condition in conditions.items():
        errors = [
            f"{split} error {100 * condition[key]['mean']:.2f} ± {100 * condition[key]['sd']:.2f} %"
            for split, key in (("train", "train_error"), ("test", "test_error"))
        ]
        yield _name(f"{name:>{width}}   {'   '.join(errors)}")
    baseline, *others = conditions
    for name in others:
        yield gini_table(summary, name)
    dead = conditions[baseline]["dead_inputs"][0]
    compared = (
        f"{statistics['interval']}; p by sign flips, Holm-adjusted.\nNo difference: the interval "
        f"lies within {statistics['margin']:.0%} of the baseline."
        if others
        else "one condition is compared with nothing."
    )
    yield Text(
        f"n = {summary['n_seeds']} seeds; errors mean ± sd; {compared}\n{dead:g} constant inputs "
        "and all dead units are left out.\n",
        style="dim",
    )
    for name, condition in conditions.items():
        if diverged := condition["diverged_seeds"]:
            yield Text.assemble(
                (f"{len(diverged)} networks of {escaped(name)} diverged:", "bold"),
                " their loss was not finite, or ten times that before training. "
                f"Left out with their seeds, {', '.join(map(str, diverged))}; "
                f"{condition['n_compared']} seeds are compared. "
                "Try a smaller --learning-rate.",
            )
    if others:
        yield _name(question, style="bold")
        yield from (_name(f"• {sentence}") for sentence in sentences)


def file_lines(found: "Inspected", references: dict[str, dict[str, float]]) -> Iterator[Any]:
    """Gini of every layer of a file beside what it would be in a law that weights begin with."""
    from dropout_jax.inspection.measures import mean

    n_networks = max(layer.n_networks for layer in found.layers.values())
    table = _table_of_layers(f"Gini of |w|, {found.path}: 0 is uniform")
    for heading in ("in → out", "weights", "start", "Gaussian", "by unit", "shuffled"):
        table.add_column(heading, justify="right", no_wrap=True)
    for name, layer in found.layers.items():
        of = found.values[name]
        table.add_row(
            _name(name),
            f"{layer.shape[0]} → {layer.shape[1]}",
            _or_dash(mean(of["entries"]["gini"]), ".3f"),
            f"{references[layer.law]['gini']:.3f}",
            f"{references['Gaussian']['gini']:.3f}",
            _or_dash(mean(of["columns"]["gini"]), ".3f"),
            _or_dash(mean(of["columns_shuffled"]["gini"]), ".3f"),
        )
    yield table
    seeds = f"Mean over {n_networks} seeds. " if n_networks > 1 else ""
    laws = sorted({layer.law for layer in found.layers.values()})
    yield Text(
        f"{seeds}Weights: all of a layer. Start: of a {' or '.join(laws)} law, the usual one for "
        "such names. By unit: of the weights of one unit, the mean over units. Shuffled: the same "
        "after all weights of the layer were dealt anew. Units without any weight are left out. –: "
        "units of one input.",
        style="dim",
    )


def _or_dash(value: float, form: str) -> str:
    """A number, or a dash for none."""
    return "–" if isnan(value) else f"{value:{form}}"


def _table_of_layers(title: str) -> Table:
    """A table with room for long names of layers, whatever the width of the terminal."""
    table = Table(title=_name(title), title_justify="left", box=box.SIMPLE)
    table.add_column("layer", overflow="fold", min_width=12)
    return table


def side_by_side_lines(found: "Sequence[Inspected]") -> Iterator[Any]:
    """Gini of every layer in several files, and the difference if they are two."""
    from dropout_jax.inspection.measures import mean

    names = list(dict.fromkeys(name for one in found for name in one.layers))
    table = _table_of_layers("Gini of |w|: 0 is uniform")
    table.add_column("of")
    for one in found:
        table.add_column(_name(one.path), justify="right", overflow="fold")
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
            table.add_row(_name(name if view == "entries" else ""), of, *cells)
    yield table
    yield Text("One network each tells nothing of chance: for that, give groups.", style="dim")


def groups_lines(rows: list[dict[str, Any]], n: tuple[int, int], paired: bool) -> Iterator[Any]:
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
            table.add_row(_name(row["layer"] if of == "all" else ""), of, *_compared(row))
    yield table
    how = "BCa bootstrap; p by sign flips" if paired else "Welch's; p by dealing the files anew"
    family = sum(row["measure"] == "gini" for row in rows)
    yield Text(
        f"{n[0]} {'pairs of files' if paired else f'and {n[1]} files'}; intervals: {how}, "
        f"Holm-adjusted over {family} comparisons.",
        style="dim",
    )


def skipped_lines(skipped: Sequence[Mapping[str, str]]) -> Iterator[Any]:
    """What is not shown, {name: why} of each file, each reason once with its first tensors."""
    names: dict[str, list[str]] = {}
    for of_file in skipped:
        for name, why in of_file.items():
            names.setdefault(why, []).append(name)
    for why, of in names.items():
        unique = list(dict.fromkeys(of))
        more = f" and {len(unique) - SHOWN} more" if len(unique) > SHOWN else ""
        yield _name(f"Skipped, {why}: {', '.join(unique[:SHOWN])}{more}", style="dim")


def _compared(row: dict[str, Any]) -> tuple[str, ...]:
    """The cells of a comparison, from the means to the verdict."""
    return (
        f"{row['baseline_mean']:.3f}",
        f"{row['condition_mean']:.3f}",
        f"{row['difference']:+.3f} [{row['ci_low']:+.3f}, {row['ci_high']:+.3f}]",
        f"{row['p_holm']:.3f}",
        row["verdict"],
    )


def gini_table(summary: dict[str, Any], name: str) -> RenderableType:
    """Gini of every layer and view of a condition beside the baseline's."""
    baseline = next(iter(summary["conditions"]))
    title = _name(f"Gini, {name} against {baseline}: 0 is uniform", style="italic")
    table = Table(title=title, title_justify="left")
    table.add_column("layer", justify="right")
    table.add_column("view")
    for heading in (baseline, name, "difference [95 % interval]", "p"):
        table.add_column(_name(heading), justify="right")
    table.add_column("verdict")
    for row in summary["comparisons"]:
        if (row["condition"], row["measure"]) == (name, "gini"):
            table.add_row(
                str(row["layer"]),
                row["view"].replace("_", " "),
                *_compared(row),
            )
    return table


def finding(about: str, good: bool | None, said: str) -> RenderableType:
    """A line of the doctor: ✓ good, ! in the way, or a fact."""
    mark, style = {None: (" ", ""), True: ("✓", "green"), False: ("!", "bold red")}[good]
    grid = Table.grid(padding=(0, 1))
    grid.add_column(width=1, style=style)
    grid.add_column(width=9)
    grid.add_column()
    grid.add_row(mark, _name(about, style="bold"), _name(said))
    return grid
