"""What a run shows: its arrays, without seeds that diverged, handed to the plots and the page.

`plots` makes figures of whole runs, `page_panels` the small ones of the page, both of `panels`.
"""

from itertools import compress, islice
from typing import Any

import jax
import numpy as np

from dropout_jax.analysis.comparison import did_not_diverge
from dropout_jax.analysis.trees import layers_in
from dropout_jax.analysis.uniformity import Profile
from dropout_jax.networks.mlp import MLP
from dropout_jax.populations.population import Population
from dropout_jax.runs import plots
from dropout_jax.runs.notebook import Figures
from dropout_jax.runs.outcome import Outcome
from dropout_jax.runs.page import Contents, render
from dropout_jax.runs.style import SLIDE
from dropout_jax.runs.verdicts import verdict
from dropout_jax.runs.views import SHOWN
from dropout_jax.runs.wording import of_mlp, question, short_names


def _sound_seeds(result: Outcome) -> Outcome:
    """The run without the seeds in which a member diverged; the whole run if no seed is left."""
    kept = np.asarray(did_not_diverge(result.population).all(axis=0))
    if kept.all() or not kept.any():
        return result
    population, measured = result.population, result.measured
    params, init_params, curve, measured = jax.tree.map(
        lambda leaf: leaf[:, kept],
        (population.params, population.init_params, population.curve, measured),
    )
    return result._replace(
        seeds=list(compress(result.seeds, kept)),
        population=Population(params, init_params, population.epochs, curve),
        measured=measured,
    )


def figures(result: Outcome, slides: bool = False) -> Figures:
    """The figures of a run without the seeds that diverged, by file name, in the page's order.

    Those for slides are on a small 16:9 sheet, and show the views of the answer alone. Their
    weights are those of the first five conditions.
    """
    result = _sound_seeds(result)
    names, layers, titles = list(result.conditions), _layers(result), _titles(result)
    drawn = Figures()
    units = _profiles(result, "contribution", [f"units of {title}" for title in titles])
    if units:
        drawn["units"] = plots.plot_profiles(names, units, "contribution")
    magnitudes, gini = _shown_weights(result, titles)
    low = slides and len(titles) > 3  # rows of more would be hidden by what is written in them
    narrow = slides and len(names) > 3  # a column of more has no room for its difference
    changes = {} if low or narrow else _changes(result, titles)
    if low:
        gini = {name: {} for name in gini}
    if slides:
        magnitudes = dict(islice(magnitudes.items(), 5))  # that can be seen side by side
    drawn["weights"] = plots.plot_weights(magnitudes, gini, changes, of_mlp(result.summary))
    weights = _profiles(result, "entries", titles)
    drawn["profiles"] = plots.plot_profiles(names, weights, "|w|")
    rows = [
        {**row, "layer": layers[row["layer"]]}
        for row in result.summary["comparisons"]
        if not slides or row["view"] in SHOWN
    ]
    if rows:
        drawn["differences"] = plots.plot_differences(rows, "gini")
    population, own = result.population, result.summary.get("own_metrics", ())
    curves = _curves(population)
    drawn["curves"] = plots.plot_curves(names, population.epochs, curves, own)
    if slides:
        for figure in drawn.values():
            figure.set_size_inches(*SLIDE)
    return drawn


def _curves(population: Population) -> dict[str, np.ndarray]:
    """Losses, and errors if there are any: labels that are no classes have none."""
    curves, shown = population.curve.by_name(), ["train_loss", "test_loss"]
    if not np.isnan(population.curve.train.error).all():
        shown += ["train_error", "test_error"]
    return {name: curves[name] for name in shown}


def page(result: Outcome, settings: dict[str, Any], environment: dict[str, Any]) -> str:
    """The page of a run as HTML; like the figures, it leaves out the seeds that diverged."""
    result, summary = _sound_seeds(result), result.summary
    names, titles = list(result.conditions), _titles(result)
    magnitudes, _ = _shown_weights(result, titles)
    contents = Contents(
        summary=summary,
        question=question(names),
        answer=verdict(summary) if len(names) > 1 else [],
        settings=settings,
        environment=environment,
        interrupted=result.interrupted,
        magnitudes={title: {name: magnitudes[name][title] for name in names} for title in titles},
        changes=_changes(result, titles),
        profiles=_profiles(result, "entries", titles),
        units=_profiles(result, "contribution", titles),
        epochs=result.population.epochs,
        curves=_curves(result.population),
    )
    return render(contents)


def _layers(result: Outcome) -> list[str]:
    """Each layer by number; those of a network other than an MLP also by the name of the kernel."""
    if names := result.summary.get("layers"):
        return [f"layer {l}: {label}" for l, label in enumerate(short_names(names).values())]
    return [f"layer {l}" for l in result.measured.values]


def _titles(result: Outcome) -> list[str]:
    """Each layer with its sizes."""
    params = result.population.params
    widths = [layer["kernel"].shape[-2:] for layer in layers_in(result.config.model, params, 2)]
    return [f"{layer} ({i} → {o})" for layer, (i, o) in zip(_layers(result), widths, strict=True)]


def _profiles(result: Outcome, view: str, titles: list[str]) -> dict[str, Profile]:
    """The profiles {title: [C, S, Q]} of the layers that have the view."""
    profiles = result.measured.profiles
    return {title: profiles[l][view] for l, title in enumerate(titles) if view in profiles[l]}


def _shown_weights(result: Outcome, titles: list[str]) -> tuple[dict, dict]:
    """|w| of the live entries, and their Gini, of the first seed: {condition: {title: …}} both."""
    magnitudes, gini, model = {}, {}, result.config.model
    live = [*result.measured.live_inputs, None]
    for c, name in enumerate(result.conditions):
        magnitudes[name], gini[name] = {}, {}
        for l, layer in enumerate(layers_in(model, result.population.params, 2)):
            kernel = np.abs(layer["kernel"][c, 0])
            if np.isfinite(kernel).all():  # of one that diverged, no input is known to be live
                kernel = kernel[live[l][c, 0]]
                if live[l + 1] is not None and isinstance(model, MLP):  # whose layers are a chain
                    kernel = kernel[:, live[l + 1][c, 0]]
            magnitudes[name][titles[l]] = kernel.ravel()
            gini[name][titles[l]] = float(result.measured.values[l]["entries"]["gini"][c, 0])
    return magnitudes, gini


def _changes(result: Outcome, titles: list[str]) -> dict[str, dict[str, float]]:
    """The mean difference in Gini of |w| from the baseline, {condition: {title: difference}}."""
    changes: dict[str, dict[str, float]] = {}
    for row in result.summary["comparisons"]:
        if (row["view"], row["measure"]) == ("entries", "gini"):
            changes.setdefault(row["condition"], {})[titles[row["layer"]]] = row["difference"]
    return changes
