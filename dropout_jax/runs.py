"""One comparison from start to finish: train, measure, compare, draw, write.

The command line and the study scripts both call this; neither does more than choose and print.
"""

import contextlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from time import perf_counter
from typing import Any, NamedTuple

import jax
import jax.monitoring
import numpy as np
from matplotlib.figure import Figure

from dropout_jax import plots, records, report
from dropout_jax.checkpoints import Checkpoints
from dropout_jax.comparison import (
    Measured,
    answer,
    measure_population,
    question,
    sound,
    summarise,
    tidy,
)
from dropout_jax.data import Dataset
from dropout_jax.networks import layers
from dropout_jax.population import Allocate, Interrupted, Population, fit_population
from dropout_jax.training import Config, Hparams


class Run(NamedTuple):
    """A finished comparison; `seeds` are those completed, fewer than asked if interrupted."""

    config: Config
    conditions: dict[str, Hparams]
    seeds: list[int]
    population: Population
    measured: Measured
    summary: dict[str, Any]
    seconds: dict[str, float]
    interrupted: bool


def run(
    config: Config,
    conditions: dict[str, Hparams],
    seeds: Sequence[int],
    key: jax.Array,
    data: Dataset,
    *,
    memory: float | None = None,
    allocate: Allocate = np.empty,
    checkpoints: Checkpoints | None = None,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Run:
    """Train the conditions on the same seeds and compare all others with the first.

    Arguments and errors are those of `population.fit_population`; the key is only folded into. If
    interrupted, what remains is compared as long as two seeds are complete.

    Example:
      >>> from dropout_jax.data import load_dataset
      >>> from dropout_jax.networks import MLP
      >>> config = Config(MLP((4, 10)), epochs=1)
      >>> conditions = {"none": Hparams((0.0, 0.0)), "dropout": Hparams((0.0, 0.5))}
      >>> result = run(config, conditions, range(2), jax.random.key(0), load_dataset("digits"))
      >>> print(len(result.summary["comparisons"]))  # 8 layers and views, 6 measures
      48
    """
    seeds, interrupted = list(seeds), False
    with _timed() as training:
        try:
            population = fit_population(
                config,
                list(conditions.values()),
                seeds,
                key,
                data,
                memory=memory,
                allocate=allocate,
                checkpoints=checkpoints,
                progress=progress,
            )
        except Interrupted as stop:
            if stop.partial is None or stop.partial.curve.train.loss.shape[1] < 2:
                raise
            population, interrupted = stop.partial, True
            seeds = seeds[: population.curve.train.loss.shape[1]]
    with _timed() as analysis:
        measured = measure_population(config.model, population, data.x_train)
        summary = summarise(conditions, seeds, population, measured)
    seconds = {
        "compilation": training["compilation"] + analysis["compilation"],
        "training": training["rest"],
        "analysis": analysis["rest"],
    }
    return Run(config, conditions, seeds, population, measured, summary, seconds, interrupted)


@contextlib.contextmanager
def _timed() -> Iterator[dict[str, float]]:
    """Seconds that XLA compiled meanwhile, and the rest; filled in at the end."""
    seconds = {"compilation": 0.0}

    def listen(event: str, duration_secs: float, **_: str | int) -> None:
        if event == "/jax/core/compile/backend_compile_duration":
            seconds["compilation"] += duration_secs

    start = perf_counter()
    jax.monitoring.register_event_duration_secs_listener(listen)
    try:
        yield seconds
    finally:
        jax.monitoring.unregister_event_duration_listener(listen)
        seconds["rest"] = perf_counter() - start - seconds["compilation"]


def _sound_seeds(result: Run) -> Run:
    """The run without the seeds of which a member diverged, unless none would be left."""
    counts = np.asarray(sound(result.population).all(axis=0))
    if counts.all() or not counts.any():
        return result
    population, measured = result.population, result.measured
    params, init_params, curve, measured = jax.tree.map(
        lambda leaf: leaf[:, counts],
        (population.params, population.init_params, population.curve, measured),
    )
    return result._replace(
        seeds=[seed for seed, counted in zip(result.seeds, counts, strict=True) if counted],
        population=Population(params, init_params, population.epochs, curve),
        measured=measured,
    )


def figures(result: Run) -> dict[str, Figure]:
    """The figures of a run by file name, of its seeds that did not diverge; the lecture's first."""
    result = _sound_seeds(result)
    names, population = list(result.conditions), result.population
    titles, n_seeds = _titles(result), len(result.seeds)
    comparisons = result.summary["comparisons"]
    differences = (
        {"differences": plots.plot_differences(comparisons, "gini", n_seeds)} if comparisons else {}
    )
    return {
        "weights": plots.plot_weights(*_shown_weights(result, titles)),
        "profiles": plots.plot_profiles(
            names, _profiles(result.measured, "entries", titles), "|w|", n_seeds
        ),
        "units": plots.plot_profiles(
            names,
            _profiles(result.measured, "contribution", [f"units of {t}" for t in titles[:-1]]),
            "contribution",
            n_seeds,
        ),
        **differences,
        "curves": plots.plot_curves(names, population.epochs, _curves(population), n_seeds),
    }


def _curves(population: Population) -> dict[str, np.ndarray]:
    return {
        f"{split}_{metric}": getattr(getattr(population.curve, split), metric)
        for metric in ("loss", "error")
        for split in ("train", "test")
    }


def page(result: Run, settings: dict[str, Any], environment: dict[str, Any]) -> str:
    """The page of a run: of its seeds that did not diverge, as the figures."""
    shown, summary = _sound_seeds(result), result.summary
    names, titles = list(result.conditions), _titles(result)
    magnitudes, _ = _shown_weights(shown, titles, len(names))
    contents = report.Contents(
        summary,
        question(names),
        answer(summary) if len(names) > 1 else [],
        settings,
        environment,
        result.interrupted,
        {title: {name: magnitudes[name][title] for name in names} for title in titles},
        _relative(shown.measured, "entries", titles),
        _relative(shown.measured, "contribution", titles[:-1]),
        shown.population.epochs,
        _curves(shown.population),
    )
    return report.page(contents)


def _titles(result: Run) -> list[str]:
    widths = [layer["kernel"].shape[-2:] for layer in layers(result.population.params)]
    return [f"layer {l} ({i} → {o})" for l, (i, o) in enumerate(widths)]


def _relative(measured: Measured, view: str, titles: list[str]) -> dict[str, np.ndarray]:
    return {
        title: np.asarray(measured.profiles[l][view].relative) for l, title in enumerate(titles)
    }


def _shown_weights(result: Run, titles: list[str], n_conditions: int = 2) -> tuple[dict, dict]:
    """|w| of the live entries, and their Gini, of the first seed in the first conditions."""
    magnitudes, gini = {}, {}
    live = [*result.measured.live_inputs, None]
    for c, name in list(enumerate(result.conditions))[:n_conditions]:
        magnitudes[name], gini[name] = {}, {}
        for l, layer in enumerate(layers(result.population.params)):
            kernel = np.abs(layer["kernel"][c, 0])
            kernel = kernel[live[l][c, 0]]
            if live[l + 1] is not None:
                kernel = kernel[:, live[l + 1][c, 0]]
            magnitudes[name][titles[l]] = kernel.ravel()
            gini[name][titles[l]] = float(result.measured.values[l]["entries"]["gini"][c, 0])
    return magnitudes, gini


def _profiles(measured: Measured, view: str, titles: list[str]) -> dict[str, tuple]:
    profiles = [measured.profiles[l][view] for l in range(len(titles))]
    return {
        title: (p.relative, p.lorenz, p.lorenz - p.lorenz[:1])
        for title, p in zip(titles, profiles, strict=True)
    }


def tensors(result: Run) -> dict[str, np.ndarray]:
    """All weights by name, for `weights.safetensors`.

    `{condition}/{layer}/kernel` is [S, in, out] and `…/bias` [S, out]; `init/{layer}/…` is the init
    that the conditions share. `{condition}/{layer}/live_inputs` [S, in] tells the inputs of a layer
    that vary over the training data from the dead ones, which the measures leave out.
    """
    named = {}
    trees = [(name, result.population.params, c) for c, name in enumerate(result.conditions)]
    for name, tree, c in [*trees, ("init", result.population.init_params, 0)]:
        for l, layer in enumerate(layers(tree)):
            named |= {f"{name}/{l}/{part}": values[c] for part, values in layer.items()}
    for name, _, c in trees:
        for l, live in enumerate(result.measured.live_inputs):
            named[f"{name}/{l}/live_inputs"] = live[c]
    return named


def write(
    folder: Path, result: Run, settings: dict[str, Any], key: jax.Array, *, compact: bool = False
) -> None:
    """Write a run folder, `summary.json` last.

    A compact one, small enough to commit, has no weights, no page, and its figures as PNG alone.

    Example:
      >>> import tempfile
      >>> from dropout_jax.data import load_dataset
      >>> from dropout_jax.networks import MLP
      >>> config, key = Config(MLP((4, 10)), epochs=1), jax.random.key(0)
      >>> conditions = {"none": Hparams((0.0, 0.0)), "dropout": Hparams((0.0, 0.5))}
      >>> result = run(config, conditions, range(2), key, load_dataset("digits"))
      >>> with tempfile.TemporaryDirectory() as folder:
      ...     write(Path(folder), result, {"dataset": "digits"}, key, compact=True)
      ...     print(sorted(path.name for path in Path(folder).iterdir()))
      ['config.json', 'curves.csv', 'environment.json', 'figures', 'metrics.csv', 'summary.json']
      >>> print(list(figures(result)))
      ['weights', 'profiles', 'units', 'differences', 'curves']
      >>> print(tensors(result)["dropout/0/kernel"].shape)  # of two seeds
      (2, 64, 4)
      >>> print(page(result, {"dataset": "digits"}, {})[:15])
      <!doctype html>
    """
    records.write_json(folder / "config.json", settings)
    names, curve = list(result.conditions), result.population.curve
    header = ("condition", "seed", "layer", "view", "measure", "value")
    rows = tidy(names, result.seeds, result.population, result.measured)
    records.write_table(folder / "metrics.csv", header, rows)
    records.write_table(
        folder / "curves.csv",
        ("condition", "seed", "epoch", "train_loss", "train_error", "test_loss", "test_error"),
        (
            (name, seed, int(epoch), *(float(x[c, s, p]) for x in (*curve.train, *curve.test)))
            for c, name in enumerate(names)
            for s, seed in enumerate(result.seeds)
            for p, epoch in enumerate(result.population.epochs)
        ),
    )
    if not compact:
        records.write_tensors(folder / "weights.safetensors", tensors(result))
    start, formats = perf_counter(), ("png",) if compact else ("png", "svg")
    for name, figure in figures(result).items():
        records.write_figure(folder / "figures", name, figure, formats)
    seconds = {**result.seconds, "figures": perf_counter() - start}
    environment = {
        **records.environment(key),
        "seconds": {k: round(v, 2) for k, v in seconds.items()},
        "interrupted": result.interrupted,
    }
    records.write_json(folder / "environment.json", environment)
    if not compact:
        records.write_text(folder / "report.html", page(result, settings, environment))
    records.write_json(folder / "summary.json", result.summary)
