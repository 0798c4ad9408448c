"""Programs for devices that are not here: lowered for them, read, and never run."""

import re
from functools import partial

import jax
import jax.numpy as jnp
import pytest
from jax.sharding import AbstractMesh, AxisType
from jax.sharding import PartitionSpec as P

from dropout_jax.analysis import members
from dropout_jax.data import Dataset
from dropout_jax.networks.mlp import MLP
from dropout_jax.noise import dropout
from dropout_jax.populations import blocks
from dropout_jax.training import epochs, step
from dropout_jax.training.config import Config, Hparams

CONFIG = Config(MLP((8, 3)), epochs=2, batch_size=4)
KEY, HPARAMS, DATA = jax.eval_shape(
    lambda: (
        jax.random.key(0),
        Hparams(*map(jnp.zeros, [(2,), (), (), (), ()])),
        Dataset(*[jnp.zeros((16, 5)), jnp.zeros(16, jnp.int32)] * 2),
    )
)
STATE = jax.eval_shape(partial(step.init, CONFIG, inputs=5), HPARAMS, KEY)
X, Y = jax.ShapeDtypeStruct((4, 5), jnp.float32), jax.ShapeDtypeStruct((4,), jnp.int32)
HOST = r"callback|infeed|outfeed|send|recv"
COLLECTIVE = r"all_reduce|all_gather|all_to_all|reduce_scatter|collective|partition_id"


def stacked(n, tree):
    return jax.tree.map(lambda leaf: jax.ShapeDtypeStruct((n, *leaf.shape), leaf.dtype), tree)


def vmapped_epoch(hparams, state, data):
    epoch = partial(epochs.train_epoch, CONFIG)
    return jax.vmap(epoch, (0, 0, None, None))(hparams, state, data.x_train, data.y_train)


def epoch_on_eight_devices(hparams, state, data):
    mesh = AbstractMesh((8,), ("members",), axis_types=(AxisType.Auto,))
    return blocks.train_blocks(CONFIG, mesh, hparams, state, data)


def analysis(params, init_params, x):
    return members.measure_member(CONFIG.model, params, init_params, x)


PROGRAMS = {
    "dropout": (dropout, (KEY, X, HPARAMS.learning_rate)),
    "a step": (
        partial(step.train_step, CONFIG),
        (HPARAMS, STATE, X, Y),
    ),
    "a vmapped epoch": (vmapped_epoch, (stacked(3, HPARAMS), stacked(3, STATE), DATA)),
    "an epoch on eight devices": (
        epoch_on_eight_devices,
        (stacked(16, HPARAMS), stacked(16, STATE), DATA),
    ),
    "the analysis": (analysis, (STATE.params, STATE.params, DATA.x_train)),
}


@pytest.mark.parametrize("platform", ["cuda", "rocm", "tpu"])
@pytest.mark.parametrize("name", PROGRAMS)
def test_a_program_for_an_accelerator_asks_nothing_of_the_host_or_of_other_devices(name, platform):
    program, arguments = PROGRAMS[name]
    text = jax.export.export(jax.jit(program), platforms=(platform,))(*arguments).mlir_module()
    assert "stablehlo" in text
    assert re.findall(HOST, text) == []
    assert re.findall(COLLECTIVE, text) == []


def test_what_is_looked_for_is_found_where_it_is():
    def print_and_return(x):
        jax.debug.print("{}", x)
        return x

    mesh = AbstractMesh((8,), ("members",), axis_types=(AxisType.Auto,))
    add_up = jax.shard_map(
        lambda x: jax.lax.psum(x, "members"), mesh=mesh, in_specs=P("members"), out_specs=P()
    )
    x = jax.ShapeDtypeStruct((8,), jnp.float32)
    assert re.findall(HOST, jax.jit(print_and_return).lower(x).as_text())  # not to be exported
    assert re.findall(COLLECTIVE, jax.export.export(jax.jit(add_up))(x).mlir_module())
