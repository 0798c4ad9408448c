"""Strict JAX for every test: no silent rank promotion, no key used twice, two host devices."""

import gc
import os
from importlib.metadata import version

# Programs of toy size are compiled far longer than they run; `.ci/run` tests with 0 too. Set before
# the first import of JAX, and in the environment, so that the processes of tests do the same.
os.environ.setdefault("JAX_DISABLE_MOST_OPTIMIZATIONS", "1")
if os.environ["JAX_DISABLE_MOST_OPTIMIZATIONS"] == "1" and version("jaxlib").startswith("0.10."):
    # more than halve what is left; another version that does not know the flags would not start
    flags = "--xla_cpu_use_fusion_emitters=false --xla_cpu_parallel_codegen_split_count=1"
    os.environ.setdefault("XLA_FLAGS", flags)

import hypothesis
import jax

from dropout_jax.io.environment import n_cores

gc.set_threshold(200_000, 50, 100)  # less often: looking for cycles took some 4 % of the time

jax.config.update("jax_num_cpu_devices", 2)
jax.config.update("jax_numpy_rank_promotion", "raise")
jax.config.update("jax_debug_key_reuse", True)

# Compilation makes first examples slow, and CI has to find what a developer found.
hypothesis.settings.register_profile("jax", deadline=None, derandomize=True, max_examples=30)
hypothesis.settings.load_profile("jax")

LONGEST = (
    *("test_experiments", "test_processes", "test_saved", "test_main", "test_protocol"),
    *("test_measures", "test_noise", "test_epochs", "test_population", "test_page", "test_run"),
    *("test_fuzz_cli", "test_uniformity", "test_studies", "test_theory", "test_checkpoints"),
    "test_inspect",
)


def pytest_xdist_auto_num_workers():
    """One more than cores: they share what another program leaves of a core, and end together."""
    return n_cores() + 1


def pytest_collection_modifyitems(items):
    """The files that take longest first, so that workers, a file each, end together."""
    rank = {name: place for place, name in enumerate(LONGEST)}
    items.sort(key=lambda item: rank.get(item.path.stem, len(LONGEST)))
