"""One comparison from start to finish: train, measure, compare."""

import contextlib
from collections.abc import Callable, Iterator, Sequence
from time import perf_counter
from typing import Any, NamedTuple

import jax
import jax.monitoring
import numpy as np

from dropout_jax.analysis.comparison import Measured, measure_population, summarise
from dropout_jax.data import Dataset
from dropout_jax.populations.checkpoints import Checkpoints
from dropout_jax.populations.population import Allocate, Interrupted, Population, fit_population
from dropout_jax.training.config import Config, Hparams


class Run(NamedTuple):
    """A finished comparison; `seeds` are the completed ones, fewer than asked if interrupted."""

    config: Config
    conditions: dict[str, Hparams]
    seeds: list[int]
    population: Population
    measured: Measured
    summary: dict[str, Any]
    seconds: dict[str, float]
    interrupted: bool


def compare(
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

    Arguments and errors are those of `population.fit_population`; the key is only folded into. An
    interrupted training is compared on its complete seeds if they are at least two.

    Example:
      >>> from dropout_jax.data import load_dataset
      >>> from dropout_jax.networks.mlp import MLP
      >>> config = Config(MLP((4, 10)), epochs=1)
      >>> conditions = {"none": Hparams((0.0, 0.0)), "dropout": Hparams((0.0, 0.5))}
      >>> result = compare(config, conditions, range(2), jax.random.key(0), load_dataset("digits"))
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
        summary = summarise(
            conditions, seeds, population, measured, (len(data.x_train), len(data.x_test))
        )
    seconds = {
        "compilation": training["compilation"] + analysis["compilation"],
        "training": training["rest"],
        "analysis": analysis["rest"],
    }
    return Run(config, conditions, seeds, population, measured, summary, seconds, interrupted)


@contextlib.contextmanager
def _timed() -> Iterator[dict[str, float]]:
    """Seconds in which XLA compiled, and the rest; both are there at the end."""
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
