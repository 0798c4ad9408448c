"""A run read back from its folder: all that its figures, page and tables need, without training.

Shapes: C conditions, S seeds, P points of a learning curve.
"""

import csv
import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import numpy as np

from dropout_jax.analysis.members import Measured
from dropout_jax.analysis.uniformity import Profile
from dropout_jax.io.readers import on_one_line
from dropout_jax.io.writers import as_text
from dropout_jax.networks.mlp import MLP
from dropout_jax.populations.population import Population
from dropout_jax.runs.run import Run
from dropout_jax.training.config import Config, Hparams
from dropout_jax.training.epochs import Curve, Metrics

_Tensors = dict[str, np.ndarray]


@dataclass(frozen=True)
class Kept:
    """It stands for a network other than an MLP, of which a folder keeps the kernels alone.

    Example:
      >>> print(Kept((8, 10)).features)
      (8, 10)
    """

    features: tuple[int, ...]

    def init(self, key: jax.Array, x: Any, /) -> Any:
        """Raise NotImplementedError: the network is not known."""
        raise NotImplementedError("the folder of a run keeps no network other than an MLP")

    def apply(self, params: Any, x: Any, /, **noise: Any) -> Any:
        """Raise NotImplementedError: the network is not known."""
        raise NotImplementedError("the folder of a run keeps no network other than an MLP")


def load_run(folder: str | Path) -> Run:
    """The run that `compare`, `train` or `Run.save` wrote to a folder.

    The network is an MLP with the usual loss and optimizer; a folder does not keep others. Of
    another network it keeps the kernels, so `config.model` stands for it, and computes nothing.

    Raises:
      ValueError: if the folder holds no run, a part of it, or one of an older version.

    Example:
      >>> import tempfile
      >>> import jax
      >>> from dropout_jax.data import load_dataset
      >>> from dropout_jax.runs.run import compare
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
        lacks = Path(error.filename or "").name
        raise ValueError(f"{expected}, where {lacks} is missing") from None
    except (OSError, ValueError, KeyError, TypeError) as error:
        why = on_one_line(error)
        raise ValueError(f"{expected}: {why}") from error


def _read(folder: Path) -> Run:
    """`load_run`, with the errors of what reads the files."""
    from safetensors.numpy import load_file

    told, summary, environment = (
        json.loads((folder / f"{name}.json").read_text(encoding="utf-8"))
        for name in ("config", "summary", "environment")
    )
    weights, profiles = (
        load_file(_there(folder / f"{name}.safetensors")) for name in ("weights", "profiles")
    )
    names, features = list(summary["conditions"]), (*told["features"], told["n_classes"])
    of_mlp, n_layers = "layers" not in summary, len(summary.get("layers", features))
    listed = [as_text(name) for name in names]  # in tables
    values, seeds = _values(folder / "metrics.csv", listed)
    parts = ("kernel", "bias") if of_mlp else ("kernel",)
    start = _tree(weights, ["init"] * len(names), n_layers, parts)
    epochs, curve = _curve(folder / "curves.csv", listed)
    population = Population(_tree(weights, names, n_layers, parts), start, epochs, curve)
    live = [_stacked(weights, names, f"{l}/live_inputs") for l in range(n_layers)]
    sorted_ = {
        l: {
            view: Profile(
                *(_stacked(profiles, names, f"{l}/{view}/{of}") for of in Profile._fields)
            )
            for view in ("entries", "contribution")
            if f"{names[0]}/{l}/{view}/lorenz" in profiles
        }
        for l in range(n_layers)
    }
    config = Config(
        MLP(features) if of_mlp else Kept(features),
        epochs=told["epochs"],
        batch_size=told["batch_size"],
    )
    return Run(
        config,
        {name: _hparams(told, name, of) for name, of in summary["conditions"].items()},
        seeds,
        population,
        Measured(values, sorted_, live),
        _numbers(summary),
        environment["seconds"],
        environment["interrupted"],
        environment["prng"],
    )


def _numbers(tree: Any) -> Any:
    """The same summary, with NaN for what JSON has as null."""
    if isinstance(tree, dict):
        return {key: _numbers(value) for key, value in tree.items()}
    if isinstance(tree, list):
        return [_numbers(value) for value in tree]
    return math.nan if tree is None else tree


def _there(path: Path) -> Path:
    """The path of a file, which must be there: safetensors' own error has no name of it."""
    path.stat()
    return path


def _stacked(tensors: _Tensors, names: list[str], of: str) -> Any:
    """A tensor of every condition [C, …]."""
    return np.stack([tensors[f"{name}/{of}"] for name in names])


def _hparams(told: dict[str, Any], name: str, condition: dict[str, Any]) -> Hparams:
    """The hyper-parameters of a condition, from the configuration and the summary."""
    of_all = told.get("conditions", {})
    usual = {key: told[key] for key in ("learning_rate", "momentum") if key in told}
    if any("max_norm" in given for given in of_all.values()):
        usual["max_norm"] = math.inf
    own = {key: condition[key] for key in ("rates", "weight_decay")}
    given = {key: value for key, value in of_all.get(name, {}).items() if value is not None}
    return Hparams(**{**usual, **own, **given})


def _tree(
    weights: _Tensors, of: list[str], n_layers: int, parts: tuple[str, ...]
) -> dict[str, Any]:
    """The parameters of all members of these conditions."""
    return {
        "params": {
            f"layer_{l}": {part: _stacked(weights, of, f"{l}/{part}") for part in parts}
            for l in range(n_layers)
        }
    }


def _curve(path: Path, names: list[str]) -> tuple[np.ndarray, Curve]:
    """The epochs [P] of the learning curves, and the curves."""
    rows = _rows(path)
    epochs = np.unique([int(row["epoch"]) for row in rows])
    shape = (len(names), -1, len(epochs))
    ordered = sorted(rows, key=lambda row: names.index(row["condition"]))  # stable: seeds, epochs
    train, test = (
        Metrics(*(_column(ordered, f"{split}_{metric}", shape) for metric in Metrics._fields))
        for split in Curve._fields
    )
    return epochs, Curve(train, test)


def _values(path: Path, names: list[str]) -> tuple[dict[int, dict[str, dict[str, Any]]], list[int]]:
    """The measures {layer: {view: {measure: [C, S]}}}, and the seeds."""
    found: dict[tuple[int, str, str], list[float]] = {}
    rows = _rows(path)
    seeds = list(dict.fromkeys(int(row["seed"]) for row in rows))
    for row in sorted(rows, key=lambda row: names.index(row["condition"])):
        if row["layer"] and row["view"] != "inputs":
            key = int(row["layer"]), row["view"], row["measure"]
            found.setdefault(key, []).append(float(row["value"]))
    values: dict[int, dict[str, dict[str, Any]]] = {}
    for (layer, view, measure), of in found.items():
        array = np.array(of, np.float32).reshape(len(names), len(seeds))
        values.setdefault(layer, {}).setdefault(view, {})[measure] = array
    return values, seeds


def _column(rows: list[dict[str, str]], name: str, shape: tuple[int, ...]) -> Any:
    return np.array([row[name] for row in rows], np.float32).reshape(shape)


def _rows(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))
