"""A run read back from its folder: all that its figures, page and tables need, without training.

Shapes: C conditions, S seeds, P points of a learning curve.
"""

import csv
import math
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from dropout_jax.analysis.members import Measured
from dropout_jax.analysis.uniformity import Profile
from dropout_jax.io.readers import one_line
from dropout_jax.io.writers import as_text
from dropout_jax.networks.mlp import MLP
from dropout_jax.populations.population import Population
from dropout_jax.runs.folder import read_records
from dropout_jax.runs.run import Run
from dropout_jax.runs.wording import of_mlp
from dropout_jax.training.config import Config, Hparams
from dropout_jax.training.evaluation import Curve, Metrics

_Tensors = dict[str, np.ndarray]
_Values = dict[int, dict[str, dict[str, Any]]]  # {layer: {view: {measure: [C, S]}}}


@dataclass(frozen=True)
class UnknownNetwork:
    """A network other than an MLP: a folder keeps its kernels, but not how to compute with them."""

    features: tuple[int, ...]

    def init(self, *_: Any, **__: Any) -> Any:
        """Raise NotImplementedError: the network is not known."""
        raise NotImplementedError("the folder of a run keeps no network other than an MLP")

    apply = init


def load_run(folder: str | Path) -> Run:
    """The run that the commands `compare` and `train`, or `Run.save`, wrote to a folder.

    A folder keeps neither loss nor optimizer, so the run has the usual ones. Of a network other
    than an MLP it keeps the kernels alone: `config.model` is then an `UnknownNetwork`, which cannot
    be applied.

    Raises:
      ValueError: if the folder holds no run, a part of it, or one of an older version.

    Example:
      >>> import tempfile
      >>> import jax
      >>> from dropout_jax import compare, load_dataset
      >>> conditions = {"none": Hparams((0.0, 0.0)), "dropout": Hparams((0.0, 0.5))}
      >>> config, data = Config(MLP((4, 10)), epochs=1), load_dataset("digits")
      >>> result = compare(config, conditions, range(2), jax.random.key(0), data)
      >>> with tempfile.TemporaryDirectory() as folder:
      ...     result.save(Path(folder, "run"))
      ...     again = load_run(Path(folder, "run"))
      >>> print(again.verdict == result.verdict)
      True
    """
    folder = Path(folder)
    expected = f"expected the folder of a run, got {folder}"
    try:
        return _read(folder)
    except (FileNotFoundError, NotADirectoryError) as error:
        missing = Path(error.filename or "").name
        raise ValueError(f"{expected}, where {missing} is missing") from None
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise ValueError(f"{expected}: {one_line(error)}") from error


def _read(folder: Path) -> Run:
    """`load_run`, with the errors of what reads the files."""
    settings, summary, environment = read_records(folder)
    weights = _load_tensors(folder / "weights.safetensors")
    profiles = _load_tensors(folder / "profiles.safetensors")
    conditions, features = summary["conditions"], (*settings["features"], settings["n_classes"])
    names, labels = list(conditions), list(map(as_text, conditions))  # in tensors and in tables
    is_mlp, n_layers = of_mlp(summary), len(summary.get("layers", features))
    values, seeds, last_epoch = _values(folder / "metrics.csv", labels)
    parts = ("kernel", "bias") if is_mlp else ("kernel",)
    init_params = _params(weights, ["init"] * len(names), n_layers, parts)
    epochs, curve = _curve(folder / "curves.csv", labels)
    params = _params(weights, names, n_layers, parts)
    live_inputs = [_stack(weights, names, f"{l}/live_inputs") for l in range(n_layers)]
    sorted_values = {
        l: {
            view: Profile(
                *(_stack(profiles, names, f"{l}/{view}/{part}") for part in Profile._fields)
            )
            for view in ("entries", "contribution")
            if f"{names[0]}/{l}/{view}/lorenz" in profiles
        }
        for l in range(n_layers)
    }
    model = MLP(features) if is_mlp else UnknownNetwork(features)
    return Run(
        config=Config(model, settings["epochs"], settings["batch_size"]),
        conditions={name: _hparams(settings, name, of) for name, of in conditions.items()},
        seeds=seeds,
        population=Population(params, init_params, epochs, curve, last_epoch),
        measured=Measured(values, sorted_values, live_inputs),
        summary=_numbers(summary),
        seconds=environment["seconds"],
        interrupted=environment["interrupted"],
        prng=environment["prng"],
    )


def _numbers(tree: Any) -> Any:
    """The same summary, with NaN for what JSON has as null."""
    if isinstance(tree, dict):
        return {key: _numbers(value) for key, value in tree.items()}
    if isinstance(tree, list):
        return [_numbers(value) for value in tree]
    return math.nan if tree is None else tree


def _load_tensors(path: Path) -> _Tensors:
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    path.stat()  # for an error with the name of the file; that of safetensors has none
    try:
        return load_file(path)
    except SafetensorError:
        raise ValueError(f"{path.name} cannot be read, perhaps damaged") from None


def _stack(tensors: _Tensors, names: list[str], part: str) -> Any:
    """A tensor of every condition [C, …]."""
    return np.stack([tensors[f"{name}/{part}"] for name in names])


def _hparams(settings: dict[str, Any], name: str, record: dict[str, Any]) -> Hparams:
    """The hyper-parameters of a condition, from the configuration and the summary."""
    conditions = settings.get("conditions", {})
    shared = {key: settings[key] for key in ("learning_rate", "momentum") if key in settings}
    if any("max_norm" in given for given in conditions.values()):
        shared["max_norm"] = math.inf
    own = {key: record[key] for key in ("rates", "weight_decay")}
    given = {key: value for key, value in conditions.get(name, {}).items() if value is not None}
    return Hparams(**{**shared, **own, **given})


def _params(
    weights: _Tensors, names: list[str], n_layers: int, parts: tuple[str, ...]
) -> dict[str, Any]:
    """The parameters of all members of these conditions."""
    return {
        "params": {
            f"layer_{l}": {part: _stack(weights, names, f"{l}/{part}") for part in parts}
            for l in range(n_layers)
        }
    }


def _curve(path: Path, labels: list[str]) -> tuple[np.ndarray, Curve]:
    """The epochs [P] of the learning curves, and the curves."""
    rows = _rows(path, labels)
    epochs = np.unique([int(row["epoch"]) for row in rows])

    def column(name: str) -> Any:
        numbers = np.array([row[name] for row in rows], np.float32)
        return numbers.reshape(len(labels), -1, len(epochs))

    train, test = (
        Metrics(*(column(f"{split}_{metric}") for metric in Metrics._fields))
        for split in Curve._fields
    )
    return epochs, Curve(train, test)


def _values(path: Path, labels: list[str]) -> tuple[_Values, list[int], np.ndarray | None]:
    """The measures, the seeds, and the last epoch of each member [C, S] if one stopped early."""
    rows = _rows(path, labels)
    seeds = list(dict.fromkeys(int(row["seed"]) for row in rows))
    epochs = [int(float(row["value"])) for row in rows if row["measure"] == "epochs"]
    last_epoch = np.reshape(epochs, (len(labels), len(seeds))) if epochs else None
    columns: dict[tuple[int, str, str], list[float]] = {}
    for row in rows:
        if row["layer"] and row["view"] != "inputs":
            key = int(row["layer"]), row["view"], row["measure"]
            columns.setdefault(key, []).append(float(row["value"]))
    values: _Values = {}
    for (layer, view, measure), column in columns.items():
        array = np.array(column, np.float32).reshape(len(labels), len(seeds))
        values.setdefault(layer, {}).setdefault(view, {})[measure] = array
    return values, seeds, last_epoch


def _rows(path: Path, labels: list[str]) -> list[dict[str, str]]:
    """The rows of a table, those of a condition together, in the order of their labels."""
    with path.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    n_rows = Counter(row.get("condition") for row in rows)
    if set(n_rows) != set(labels) or len(set(n_rows.values())) > 1:
        raise ValueError(f"{path.name} must hold as many rows of each condition, perhaps damaged")
    return sorted(rows, key=lambda row: labels.index(row["condition"]))
