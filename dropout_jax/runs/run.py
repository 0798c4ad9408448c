"""One comparison from start to finish: train, measure, compare."""

import contextlib
import re
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import get_ident
from time import perf_counter
from typing import TYPE_CHECKING, Any

import jax
import jax.monitoring
import numpy as np

from dropout_jax.analysis.comparison import summarise
from dropout_jax.analysis.members import Measured, compile_measures, measure_population
from dropout_jax.analysis.trees import kernels_in, natural_key
from dropout_jax.data import Dataset
from dropout_jax.networks.calls import param_shapes
from dropout_jax.networks.mlp import MLP
from dropout_jax.networks.protocol import Network, Params
from dropout_jax.populations.checkpoints import Checkpoints
from dropout_jax.populations.members import as_seeds
from dropout_jax.populations.moment import Callback
from dropout_jax.populations.population import Interrupted, Population, fit_population
from dropout_jax.populations.store import Allocate
from dropout_jax.runs.folder import check_name
from dropout_jax.runs.outcome import Outcome
from dropout_jax.runs.verdicts import verdict
from dropout_jax.runs.wording import count_seeds, error_text
from dropout_jax.training import objectives
from dropout_jax.training.checks import check_config, check_training
from dropout_jax.training.config import Config, Hparams

if TYPE_CHECKING:
    from dropout_jax.runs.notebook import Figures


class Run(Outcome):
    """An `Outcome` that shows itself: a notebook prints its answer. See `compare`."""

    __slots__ = ()

    @property
    def verdict(self) -> list[str]:
        """The answer in words; conditions with the same verdicts share a sentence."""
        return verdict(self.summary)

    @property
    def figures(self) -> "Figures":
        """The figures by name, drawn anew; a notebook shows all of them, or one."""
        from dropout_jax.runs.pictures import figures  # with what draws

        return figures(self)

    def table(self, as_frame: bool = True) -> Any:
        """Every comparison as a row of a DataFrame of pandas.

        Of a network other than an MLP a row also holds the name of the layer's `kernel`.

        Args:
          as_frame: False for a list of dicts.
        """
        rows, names = self.summary["comparisons"], self.summary.get("layers")
        rows = [{**row, "kernel": names[row["layer"]]} for row in rows] if names else rows
        if not as_frame:
            return rows
        import pandas as pd  # here, as it takes long to load

        return pd.DataFrame(rows)

    def save(self, folder: str | Path) -> None:
        """Write the run to a new or empty folder, as the command line does; `load_run` reads it.

        `config.json` names the network and the functions of `Config` where they are not the usual.

        Raises:
          ValueError: if the folder holds something.
        """
        from dropout_jax.runs.write import write

        folder = Path(folder)
        if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
            raise ValueError(f"folder must be new or empty, got {folder}")
        *features, n_classes = self.config.model.features
        conditions = {
            name: {key: np.asarray(x).tolist() for key, x in h._asdict().items() if x is not None}
            for name, h in self.conditions.items()
        }
        settings = {"command": "compare", "features": features, "n_classes": n_classes}
        settings |= {"epochs": self.config.epochs, "batch_size": self.config.batch_size}
        usual = Config(MLP(self.config.model.features))
        for name, value in vars(self.config).items():
            if value != getattr(usual, name):  # the network, or functions of the user's own
                settings.setdefault(name, _describe(value))
        write(folder, self, {**settings, "conditions": conditions})

    def __repr__(self) -> str:
        if len(self.conditions) == 1:
            ((name, record),) = self.summary["conditions"].items()
            mean = record["test_error"]["mean"]
            error = "" if mean != mean else f", mean test error {error_text(mean, self.summary)}"
            seeds = count_seeds(len(self.seeds))
            return f"Run of {seeds} of {name}{error}; see .figures, .save(folder)"
        names = ", ".join(self.conditions)
        return (
            f"Run of {len(self.seeds)} seeds each of {names}; "
            "its answer: .verdict, .table(), .figures, .save(folder)"
        )

    def _repr_html_(self) -> str | None:
        """The answer and the picture-table, for a notebook; None if nothing is compared."""
        from dropout_jax.runs.page import answer

        return answer(self.summary) if len(self.conditions) > 1 else None


def compare(
    config: Config,
    conditions: dict[str, Hparams],
    seeds: Sequence[int] | np.ndarray | int,
    key: jax.Array,
    data: Dataset,
    *,
    memory: float | None = None,
    allocate: Allocate = np.empty,
    checkpoints: Checkpoints | None = None,
    callback: Callback = lambda moment: None,
) -> Run:
    """Train the conditions on the same seeds and compare all others with the first.

    Arguments and errors are those of `populations.population.fit_population`, but `devices` and
    `block`; the key is only folded into. An interrupted training is compared on its complete seeds
    if they are at least two.

    The layers of a network other than an MLP are its kernels (`trees.kernels_in`), by number in
    `metrics.csv`, and by name in `summary["layers"]`. Contributions and path norms are left out:
    they need the activations of units.

    Raises:
      TypeError: also for conditions that are no dict.
      ValueError: also for a network without kernels, one seed alone of several conditions, or a
        name of a condition that cannot be written (`folder.check_name`).

    Example:
      >>> from dropout_jax import load_dataset
      >>> config = Config(MLP((4, 10)), epochs=1)
      >>> conditions = {"none": Hparams((0.0, 0.0)), "dropout": Hparams((0.0, 0.5))}
      >>> result = compare(config, conditions, range(2), jax.random.key(0), load_dataset("digits"))
      >>> print(len(result.summary["comparisons"]))  # 8 layers and views, 6 measures
      48
      >>> print(result)
      Run of 2 seeds each of none, dropout; its answer: .verdict, .table(), .figures, .save(folder)
    """
    if not isinstance(conditions, dict):
        kind = type(conditions).__name__
        raise TypeError(f"conditions must be a dict {{name: Hparams}}, got {kind}")
    check_config(config)
    seeds = as_seeds(seeds)
    for name in conditions:
        check_name(name)
    if len(conditions) > 1 and len(seeds) < 2:
        raise ValueError(f"a comparison needs at least two seeds, got {len(seeds)}")
    check_training(config, data)
    params = param_shapes(config.model, data.x_train.shape[1:])
    kernels = None if isinstance(config.model, MLP) else _kernel_names(config.model, params)
    interrupted = False
    beside = ThreadPoolExecutor(1)  # compiles what measures, while what trains is compiled
    if jax.process_count() == 1:  # several may have to compile in one order
        n_members = len(conditions) * len(seeds)
        beside.submit(compile_measures, config.model, params, data.x_train, n_members)
    beside.shutdown(wait=False)
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
                callback=callback,
            )
        except Interrupted as stop:
            if stop.partial is None or (n_complete := stop.partial.curve.train.loss.shape[1]) < 2:
                raise
            population, seeds, interrupted = stop.partial, seeds[:n_complete], True
    begun = perf_counter()
    beside.shutdown()  # what failed there is compiled again
    waited = perf_counter() - begun
    with _timed() as analysis:
        measured = measure_population(config.model, population, data.x_train)
        summary = _summary(config, conditions, seeds, population, measured, data, kernels)
    seconds = {
        "compilation": training["compilation"] + waited + analysis["compilation"],
        "training": training["rest"],
        "analysis": analysis["rest"],
    }
    prng = str(jax.random.key_impl(key))
    return Run(config, conditions, seeds, population, measured, summary, seconds, interrupted, prng)


def _summary(
    config: Config,
    conditions: dict[str, Hparams],
    seeds: Sequence[int],
    population: Population,
    measured: Measured,
    data: Dataset,
    kernels: Sequence[str] | None,
) -> dict[str, Any]:
    """What `summary.json` holds."""
    of_rates = config.error_fn is None
    n_examples = (len(data.x_train), len(data.x_test)) if of_rates else None
    no_rates = (0.0,) * len(config.model.features)
    with_rates = {
        name: hparams._replace(rates=no_rates) if hparams.rates is None else hparams
        for name, hparams in conditions.items()
    }
    summary = summarise(with_rates, seeds, population, measured, n_examples, kernels)
    own = {"loss": config.loss_fn is not objectives.cross_entropy, "error": not of_rates}
    if any(own.values()):
        summary["own_metrics"] = [metric for metric in own if own[metric]]
    if len(conditions) > 1:
        summary["verdict"] = verdict(summary)
    return summary


def _describe(setting: Any) -> str:
    """The name of a network or a function, without addresses, which no two processes share."""
    name = getattr(setting, "__qualname__", None) or " ".join(repr(setting).split())
    return re.sub(r"# attributes | at 0x[0-9a-f]+", "", name)[:200]


def _kernel_names(model: Network, params: Params) -> list[str]:
    """The names of a network's kernels, known from the shapes of its parameters."""
    kernels = jax.eval_shape(kernels_in, params)
    if not kernels:
        raise ValueError(
            "a comparison needs kernels, arrays of two axes or more named kernel, w or weight, got "
            f"none in a network of type {type(model).__name__}"
        )
    return sorted(kernels, key=natural_key)


@contextlib.contextmanager
def _timed() -> Iterator[dict[str, float]]:
    """Seconds in which this thread compiled, and the rest; both are there at the end."""
    seconds, own = {"compilation": 0.0}, get_ident()

    def listen(event: str, duration_secs: float, **_: str | int) -> None:
        if get_ident() == own and event == "/jax/core/compile/backend_compile_duration":
            seconds["compilation"] += duration_secs

    start = perf_counter()
    jax.monitoring.register_event_duration_secs_listener(listen)
    try:
        yield seconds
    finally:
        jax.monitoring.unregister_event_duration_listener(listen)
        seconds["rest"] = perf_counter() - start - seconds["compilation"]
