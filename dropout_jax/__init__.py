"""dropout_jax: does dropout really spread a network's weights?

The public names are here: `from dropout_jax import MLP, Config, Hparams, fit_population`. Importing
the package costs nothing; JAX is loaded with the first name. The rooms below are folders or single
files. `noise` and `data` are public, too; the docstring of another room says which of its modules
are. All others are private, and may change. From the bottom up::

  noise          masks; dropout, Gaussian dropout and DropConnect as pure functions of a key
  io             readers that trust nothing, writers that are atomic
  data           data sets as four arrays
  networks       the MLP in Flax Linen and NNX, and a Dropout layer
  training       one network: Config and Hparams, then step, epoch and fit
  populations    members (conditions × seeds) trained together: fit_population
  analysis       measures of uniformity, such as Gini; units, statistics, comparisons, theory
  inspection     files of any networks: tensors, kernels, measures
  runs           a comparison from start to finish: its answer in words, plots, page, folder
  cli            the commands, and all that prints
"""

import sys
from importlib import import_module
from typing import TYPE_CHECKING, Any

if sys.version_info < (3, 11):  # noqa: UP036  pip refuses, but not every install is by pip
    raise ImportError(f"dropout_jax needs Python 3.11 or newer, got {sys.version.split()[0]}")

if TYPE_CHECKING:
    from dropout_jax import analysis as analysis
    from dropout_jax import cli as cli
    from dropout_jax import data as data
    from dropout_jax import inspection as inspection
    from dropout_jax import io as io
    from dropout_jax import networks as networks
    from dropout_jax import noise as noise
    from dropout_jax import populations as populations
    from dropout_jax import runs as runs
    from dropout_jax import training as training
    from dropout_jax.analysis.comparison import summarise
    from dropout_jax.analysis.members import measure_population
    from dropout_jax.analysis.uniformity import gini
    from dropout_jax.analysis.views import ginis
    from dropout_jax.data import Dataset, load_dataset
    from dropout_jax.inspection.measures import inspect, inspect_params
    from dropout_jax.networks.linen import Dropout
    from dropout_jax.networks.mlp import MLP
    from dropout_jax.noise import drop_connect, dropout, gaussian_dropout, keep_mask
    from dropout_jax.populations.population import Population, fit_population
    from dropout_jax.runs.run import compare
    from dropout_jax.runs.saved import load_run
    from dropout_jax.training.config import Config, Hparams
    from dropout_jax.training.epochs import fit
    from dropout_jax.training.evaluation import evaluate

__all__ = [
    "MLP",
    "Config",
    "Dataset",
    "Dropout",
    "Hparams",
    "Population",
    "compare",
    "drop_connect",
    "dropout",
    "evaluate",
    "fit",
    "fit_population",
    "gaussian_dropout",
    "gini",
    "ginis",
    "inspect",
    "inspect_params",
    "keep_mask",
    "load_dataset",
    "load_run",
    "measure_population",
    "summarise",
]
_HOMES = {
    "noise": ("drop_connect", "dropout", "gaussian_dropout", "keep_mask"),
    "data": ("Dataset", "load_dataset"),
    "networks.mlp": ("MLP",),
    "networks.linen": ("Dropout",),
    "training.config": ("Config", "Hparams"),
    "training.epochs": ("fit",),
    "training.evaluation": ("evaluate",),
    "populations.population": ("Population", "fit_population"),
    "analysis.uniformity": ("gini",),
    "analysis.views": ("ginis",),
    "analysis.members": ("measure_population",),
    "analysis.comparison": ("summarise",),
    "inspection.measures": ("inspect", "inspect_params"),
    "runs.run": ("compare",),
    "runs.saved": ("load_run",),
}
_HOME = {name: home for home, names in _HOMES.items() for name in names}
_ROOMS = (
    *("noise", "io", "data", "networks", "training", "populations"),
    *("analysis", "inspection", "runs", "cli"),
)

__version__: str

if not TYPE_CHECKING:  # a type checker that sees __getattr__ lets every typo pass

    def __getattr__(name: str) -> Any:
        """A public name or a room, loaded on first use (SPEC 1 of Scientific Python)."""
        if name == "__version__":
            from importlib.metadata import version  # which takes most of the time of this import

            return version("dropout_jax")
        if name in _ROOMS:
            return import_module(f"dropout_jax.{name}")
        if name not in _HOME:
            known = ", ".join(__all__)
            raise AttributeError(f"dropout_jax has no attribute {name!r}; it has {known}")
        return getattr(import_module(f"dropout_jax.{_HOME[name]}"), name)


def __dir__() -> list[str]:
    return [*__all__, "__version__", *_ROOMS]
