"""A run as one page of HTML that needs nothing else: the answer, charts, tables, configuration.

Everything that a user has named is escaped, by Jinja2 and in the charts. Without a script, and in
print, all charts are shown; with it, controls choose among them and tables can be downloaded.

Shapes: C conditions, S seeds, P points of a learning curve, Q of a profile, N weights.
"""

from collections.abc import Mapping, Sequence
from importlib.resources import files
from typing import Any, NamedTuple

import jinja2
import numpy as np
from markupsafe import Markup

from dropout_jax.runs import charts

EVERY = 2  # of the points of a profile
METRICS = {"loss": "nats", "error": "%"}


class Contents(NamedTuple):
    """What a page is made of.

    Attributes:
      summary: of the comparison, as in `summary.json`.
      question: what the answer is to.
      answer: its sentences.
      settings: as in `config.json`.
      environment: as in `environment.json`.
      interrupted: whether seeds are missing.
      magnitudes: {layer title: {condition: |w| [N]}} of one network each.
      profiles: {title: relative magnitudes, sorted [C, S, Q]} of the weights of layers.
      units: the same of the contributions of hidden layers' units.
      epochs: where the curves were measured [P].
      curves: {"train_loss": [C, S, P], …}; losses in nats, errors as fractions.
    """

    summary: Mapping[str, Any]
    question: str
    answer: Sequence[str]
    settings: Mapping[str, Any]
    environment: Mapping[str, Any]
    interrupted: bool
    magnitudes: Mapping[str, Mapping[str, np.ndarray]]
    profiles: Mapping[str, np.ndarray]
    units: Mapping[str, np.ndarray]
    epochs: np.ndarray
    curves: Mapping[str, np.ndarray]


class Figure(NamedTuple):
    """A chart, its caption, and what of the controls it answers to, {control: value}."""

    chart: Markup
    caption: str
    shown_for: dict[str, str]


def render(contents: Contents) -> str:
    """The whole page.

    Example:
      >>> error = {"mean": 0.05, "sd": 0.01}
      >>> condition = {"train_error": error, "test_error": error, "diverged_seeds": []}
      >>> contents = Contents(
      ...     summary={"n_seeds": 1, "conditions": {"<none>": condition}, "comparisons": []},
      ...     question="Does dropout spread the weights?",
      ...     answer=[],
      ...     settings={"dataset": "digits"},
      ...     environment={"seconds": {"training": 2.5}},
      ...     interrupted=False,
      ...     magnitudes={"layer 0": {"<none>": np.array([0.1, 0.3])}},
      ...     profiles={"layer 0": np.ones((1, 1, 101))},
      ...     units={},
      ...     epochs=np.arange(2),
      ...     curves={"test_error": np.array([[[0.9, 0.05]]])},
      ... )
      >>> print("&lt;none&gt;" in render(contents))  # names are text, whatever they hold
      True
      >>> print([figure.caption for figure in curve_figures(contents, ["<none>"])])
      ['test error']
    """
    names = list(contents.summary["conditions"])
    template = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined).from_string(
        files("dropout_jax.runs").joinpath("page.html.jinja").read_text(encoding="utf-8")
    )
    return template.render(
        contents._asdict(),
        names=names,
        looks=[charts.look(c) for c in range(len(names))],
        layers=list(contents.magnitudes),
        weights=weight_figures(contents),
        sorted_weights=profile_figures(contents.profiles, names, "|w|"),
        sorted_units=profile_figures(contents.units, names, "contribution"),
        differences=difference_figures(contents.summary, names),
        learning=curve_figures(contents, names),
        curve_rows=[
            (
                name,
                int(epoch),
                [float(values[c, :, p].mean()) for values in contents.curves.values()],
            )
            for c, name in enumerate(names)
            for p, epoch in enumerate(contents.epochs)
        ],
        weight_table=weight_table(contents.magnitudes),
        measures=list(dict.fromkeys(row["measure"] for row in contents.summary["comparisons"])),
        settings=flat(contents.settings),
        environment=flat(contents.environment),
    )


def flat(tree: Any, name: str = "") -> dict[str, str]:
    """Nested settings as {dotted name: text}.

    Example:
      >>> print(flat({"seconds": {"training": 2.5}, "devices": ["a", "b"]}))
      {'seconds.training': '2.5', 'devices': 'a, b'}
    """
    if isinstance(tree, Mapping) and tree:
        parts = [flat(value, f"{name}.{key}" if name else str(key)) for key, value in tree.items()]
        return {key: text for part in parts for key, text in part.items()}
    if isinstance(tree, list | tuple):
        return {name: ", ".join(map(str, tree))}
    return {name: str(tree)}


def weight_figures(contents: Contents) -> list[Figure]:
    """The lecture's plot for every layer and condition, on one scale a layer.

    Example:
      >>> none, dropout = np.array([0.1, 0.3]), np.array([0.2, 0.2])
      >>> layers = {"layer 0": {"none": none, "dropout": dropout}}
      >>> contents = Contents(*[{}] * 6, layers, profiles={}, units={}, epochs=None, curves={})
      >>> print([figure.shown_for for figure in weight_figures(contents)])
      [{'layer': 'layer 0'}, {'layer': 'layer 0', 'condition': 'dropout'}]
    """
    figures = []
    for layer, of_conditions in contents.magnitudes.items():
        everything = np.concatenate([a[np.isfinite(a)] for a in of_conditions.values()])
        top = float(everything.max(initial=1e-9))
        for c, (name, a) in enumerate(of_conditions.items()):
            a = a[np.isfinite(a)]
            mean = f"mean {a.mean():.3g}, largest {a.max():.3g}" if len(a) else "diverged"
            told = f"|w| against weight index, {name}, {layer}: {len(a):,} weights, {mean}"
            chart = charts.weight_chart(a, top, c, told)
            chosen = {"condition": name} if c else {}  # the baseline is there for all of them
            figures.append(Figure(chart, told, {"layer": layer, **chosen}))
    return figures


def weight_table(magnitudes: Mapping[str, Mapping[str, np.ndarray]]) -> list[dict[str, Any]]:
    """What the plots of weights show, in numbers.

    Example:
      >>> (row,) = weight_table({"layer 0": {"none": np.array([0.1, 0.2, 0.6])}})
      >>> print(row["weights"], row["median"], round(row["mean"], 3))
      3 0.2 0.3
    """
    return [
        {
            "layer": layer,
            "condition": name,
            "weights": len(a),
            **{
                key: float(np.quantile(a, q)) if len(a) else float("nan")
                for key, q in (("smallest", 0), ("median", 0.5), ("largest", 1))
            },
            "mean": float(a.mean()) if len(a) else float("nan"),
        }
        for layer, of_conditions in magnitudes.items()
        for name, a in of_conditions.items()
    ]


def profile_figures(
    profiles: Mapping[str, np.ndarray], names: Sequence[str], quantity: str
) -> list[Figure]:
    """Sorted magnitudes in units of their mean: flat at 1 is uniform.

    Example:
      >>> sorted_weights = {"layer 0": np.ones((2, 3, 101))}  # conditions, seeds, fractions
      >>> (figure,) = profile_figures(sorted_weights, ["none", "dropout"], "|w|")
      >>> print(figure.caption, figure.shown_for)
      layer 0 {'layer': 'layer 0'}
    """
    figures = []
    for title, relative in profiles.items():
        shown = relative[..., ::EVERY]
        x = np.linspace(0, 1, shown.shape[-1])
        lines = [charts.over_seeds(c, x, shown[c]) for c in range(len(names))]
        told = f"{quantity} sorted, in units of its mean, {title}; largest: " + ", ".join(
            f"{name} {line.mean[-1]:.3g}" for name, line in zip(names, lines, strict=True)
        )
        x_label = "fraction, from the smallest"
        chart = charts.line_chart(lines, x_label, f"{quantity} / mean", told)
        figures.append(Figure(chart, title, {"layer": title}))
    return figures


def difference_figures(summary: Mapping[str, Any], names: Sequence[str]) -> list[Figure]:
    """Differences in Gini from the baseline with their intervals, a chart a condition.

    Example:
      >>> row = {"condition": "dropout", "measure": "gini", "layer": 0, "view": "entries"}
      >>> row |= {"difference": -0.1, "ci_low": -0.2, "ci_high": -0.05, "verdict": "more uniform"}
      >>> (figure,) = difference_figures({"comparisons": [row]}, ["none", "dropout"])
      >>> print(figure.caption)
      dropout minus none
    """
    rows = [row for row in summary["comparisons"] if row["measure"] == "gini"]
    ends = np.array([[row["ci_low"], row["ci_high"]] for row in rows], float)
    top = 1.05 * float(np.abs(ends[np.isfinite(ends)]).max(initial=1e-6))
    figures = []
    for c, name in list(enumerate(names))[1:]:
        of_condition = [row for row in rows if row["condition"] == name]
        told = f"Difference in Gini, {name} minus {names[0]}: " + "; ".join(
            f"layer {row['layer']} {row['view']} {row['difference']:+.3f}, {row['verdict']}"
            for row in of_condition
        )
        x_label = "difference in Gini: left more uniform, right less"
        chart = charts.interval_chart(of_condition, x_label, c, told, top)
        figures.append(Figure(chart, f"{name} minus {names[0]}", {}))
    return figures


def curve_figures(contents: Contents, names: Sequence[str]) -> list[Figure]:
    """Loss and error along training."""
    figures = []
    for which, values in contents.curves.items():
        split, metric = which.split("_")
        scaled = np.maximum(values, 1e-6) if metric == "loss" else 100 * values
        lines = [charts.over_seeds(c, contents.epochs, scaled[c]) for c in range(len(names))]
        told = f"{split} {metric} along training; at the end " + ", ".join(
            f"{name} {line.mean[-1]:.3g} {METRICS[metric]}"
            for name, line in zip(names, lines, strict=True)
        )
        y_label = f"{metric}, {METRICS[metric]}"
        chart = charts.line_chart(lines, "epoch", y_label, told, log=metric == "loss")
        figures.append(Figure(chart, f"{split} {metric}", {}))
    return figures
