"""What several processes compute and send; they import no more than that takes."""

from collections.abc import Sequence

import jax
import numpy as np

from dropout_jax.data import Dataset
from dropout_jax.networks.mlp import MLP
from dropout_jax.noise import keep_mask
from dropout_jax.populations.checkpoints import Saved
from dropout_jax.populations.devices import Device, map_members
from dropout_jax.populations.members import member_key
from dropout_jax.populations.population import fit_population
from dropout_jax.training.batches import batch_indices
from dropout_jax.training.config import Config, Hparams

SENT: list = [
    {"seeds": 3, "rates": [0.1, -0.0], "folder": "/array"},
    {"tuple": (1, 2), "text": "é", "none": None, "nan": float("nan")},
    Saved(2, [np.array([np.nan, -0.0, 1e-45, np.inf], np.float32)], 5, [np.zeros((0, 3), "u4")]),
    Saved(0, [], 0, [np.arange(6, dtype=np.uint32).reshape(2, 3), np.array(7, np.int32)]),
]


def one_member(key, data):
    del data
    mask_key, shuffle_key = jax.random.split(key)
    return keep_mask(mask_key, 0.3, (64,)), batch_indices(shuffle_key, 50, 8)


def compute(devices: Sequence[Device] | None = None) -> list[np.ndarray]:
    """Masks, batches, weights and learning curves of four members, on all devices by default."""
    root = jax.random.key(3)
    keys = jax.vmap(lambda seed: member_key(root, seed))(np.arange(3, dtype=np.uint32))
    masks, batches = map_members(one_member, (), (keys[None],), np.zeros(1, np.float32), devices)
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(50, 5)).astype(np.float32), rng.integers(0, 3, 50).astype(np.int32)
    conditions = [Hparams(rates=(0.0, 0.0)), Hparams(rates=(0.2, 0.5))]
    config, data = Config(MLP((8, 3)), epochs=3, batch_size=8), Dataset(x, y, x, y)
    trained = fit_population(config, conditions, (4, 5), root, data, devices=devices)
    return [masks, batches, *jax.tree.leaves(trained)]
