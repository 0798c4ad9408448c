"""What a run writes: settings, numbers, weights, figures and page, the summary last."""

from datetime import datetime
from pathlib import Path
from time import perf_counter
from typing import Any

import jax
import numpy as np

from dropout_jax.analysis.members import tidy
from dropout_jax.analysis.trees import layers_in
from dropout_jax.io import writers
from dropout_jax.io.environment import environment as environment_of
from dropout_jax.io.figures import write_figure
from dropout_jax.networks.mlp import MLP
from dropout_jax.runs.outcome import Outcome
from dropout_jax.runs.pictures import figures, page


def _tensors(result: Outcome) -> dict[str, np.ndarray]:
    """All weights by name, for `weights.safetensors`.

    `{condition}/{layer}/kernel` is [S, in, out] and `…/bias` [S, out]; `init/{layer}/…` is the init
    that the conditions share. `{condition}/{layer}/live_inputs` [S, in] is false for a dead input,
    one that is the same for all training data; the measures leave it out.

    Of a network other than an MLP it holds the kernels, as matrices, with `live_outputs` [S, out]:
    the outputs of one kernel need not be the inputs of the next.
    """
    named, model = {}, result.config.model
    trees = [(name, result.population.params, c) for c, name in enumerate(result.conditions)]
    for name, tree, c in [*trees, ("init", result.population.init_params, 0)]:
        for l, layer in enumerate(layers_in(model, tree, 2)):
            named |= {f"{name}/{l}/{part}": values[c] for part, values in layer.items()}
    for name, _, c in trees:
        for l, live in enumerate(result.measured.live_inputs):
            named[f"{name}/{l}/live_inputs"] = live[c]
            if not isinstance(model, MLP):
                n_seeds, _, n_out = named[f"{name}/{l}/kernel"].shape
                named[f"{name}/{l}/live_outputs"] = np.ones((n_seeds, n_out), bool)
    return named


def _profiles(result: Outcome) -> dict[str, np.ndarray]:
    """What figures show of all seeds: `{condition}/{layer}/{view}/relative`, `…/lorenz` [S, Q]."""
    return {
        f"{name}/{l}/{view}/{part}": np.asarray(values[c], np.float32)
        for l, views in result.measured.profiles.items()
        for view, profile in views.items()
        for part, values in profile._asdict().items()
        for c, name in enumerate(result.conditions)
    }


def write(
    folder: Path, result: Outcome, settings: dict[str, Any], *, compact: bool = False
) -> None:
    """Write a run folder, `summary.json` last.

    A compact folder is small enough to commit: no weights, tables or page, figures as PNG alone.
    """
    start = perf_counter()
    writers.write_json(folder / "config.json", settings)
    if not compact:
        _write_tables(folder, result)
        writers.write_tensors(folder / "weights.safetensors", _tensors(result))
        writers.write_tensors(folder / "profiles.safetensors", _profiles(result))
    tabled, formats = perf_counter(), ("png",) if compact else ("png", "svg")
    for name, figure in figures(result).items():
        write_figure(folder / "figures", name, figure, formats)
    drawn = perf_counter()
    seconds = {**result.seconds, "files": tabled - start, "figures": drawn - tabled}
    environment = {
        **environment_of(jax.random.key(0, impl=result.prng)),
        "seconds": {k: round(v, 2) for k, v in seconds.items()},
        "interrupted": result.interrupted,
        "written": datetime.now().astimezone().isoformat(timespec="seconds"),
    }
    if not compact:
        writers.write_text(folder / "report.html", page(result, settings, environment))
        environment["seconds"]["page"] = round(perf_counter() - drawn, 2)
    writers.write_json(folder / "environment.json", environment)
    writers.write_json(folder / "summary.json", result.summary)


def _write_tables(folder: Path, result: Outcome) -> None:
    """Every number of every member, and the learning curves."""
    names, curves = list(result.conditions), result.population.curve.by_name()
    header = ("condition", "seed", "layer", "view", "measure", "value")
    rows = tidy(names, result.seeds, result.population, result.measured)
    writers.write_table(folder / "metrics.csv", header, rows)
    writers.write_table(
        folder / "curves.csv",
        ("condition", "seed", "epoch", *curves),
        (
            (name, seed, int(epoch), *(float(values[c, s, p]) for values in curves.values()))
            for c, name in enumerate(names)
            for s, seed in enumerate(result.seeds)
            for p, epoch in enumerate(result.population.epochs)
        ),
    )
