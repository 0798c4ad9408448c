"""The number of members that a device trains at once: as many as pay, and as fit its memory."""

import math
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax.sharding import Mesh

from dropout_jax.networks.calls import param_shapes
from dropout_jax.populations.devices import Device, device_mesh
from dropout_jax.training.config import Config
from dropout_jax.training.evaluation import EVALUATION_BATCH

_BLOCK = 32  # on an accelerator: a guess, not measured


def block_size(
    config: Config,
    inputs: int | tuple[int, ...],
    devices: Sequence[Device],
    memory: float | None = None,
) -> int:
    """The members that a device trains at once: 1 on a CPU, 32 on an accelerator, or what fits.

    XLA's CPU backend runs a batched product as a loop of small ones, so a wider block only costs
    cache. An accelerator should take about as long for a few members as for a block, which was not
    measured.

    The last bits of a member depend on the block of an accelerator. So the block does not depend on
    the number of members: a population can grow without changing its earlier members.

    Args:
      memory: bytes that members may take on a device, beside the data; by default .8 of its own.

    Raises:
      ValueError: if `memory` does not hold one member.
    """
    on_cpu = devices[0].platform == "cpu"
    if on_cpu and memory is None:
        return 1  # at once: to know what a member needs, its network is traced
    needed = member_bytes(config, inputs)
    if memory is not None and not memory >= needed:  # NaN is too little
        raise ValueError(
            f"memory must hold one network in training, {needed / 2**30:.3g} GiB, got "
            f"{memory / 2**30:.3g} GiB"
        )
    if on_cpu:
        return 1
    here = next(device for device in devices if device.process_index == jax.process_index())
    limit = (here.memory_stats() or {}).get("bytes_limit", math.inf)
    fitting = (0.8 * limit if memory is None else memory) / needed
    return max(1, int(min(_BLOCK, fitting)))


def wave_of_blocks(
    config: Config,
    inputs: int | tuple[int, ...],
    n_members: int,
    devices: Sequence[Device],
    memory: float | None = None,
    block: int | None = None,
) -> tuple[Mesh, int]:
    """The devices that train so many members, and how many of these at once: a block on each.

    Arguments and errors are those of `fit_population`.

    Example:
      >>> from dropout_jax.networks.mlp import MLP
      >>> mesh, n_at_once = wave_of_blocks(Config(MLP((10,))), 64, 3, jax.devices("cpu")[:1])
      >>> mesh.size, n_at_once
      (1, 1)
    """
    block = block_size(config, inputs, devices, memory) if block is None else block
    if block < 1:
        raise ValueError(f"block must be at least 1 member, got {block}")
    mesh = device_mesh(devices, -(-n_members // block))
    return mesh, block * mesh.size


def member_bytes(config: Config, inputs: int | tuple[int, ...]) -> int:
    """The bytes of device memory that a member in training takes beyond the shared data.

    It is an upper bound for optimizers with one moment, such as `sgd`. It counts the parameters
    four times, with momentum, gradient and update. To these it adds the larger of two numbers. In
    training it is three times the inputs, and outputs of products and convolutions, of a batch. In
    evaluation it is twice these outputs, of all examples that are evaluated at once. The factors
    were measured, for an MLP, a convolutional network and a transformer, by the memory that XLA
    says a further member takes.
    """
    x = jnp.zeros(inputs)
    product_outputs = _product_outputs(
        jax.make_jaxpr(config.model.apply)(param_shapes(config.model, inputs), x)
    )
    in_training = 3 * config.batch_size * (x.size + product_outputs)
    in_evaluation = 2 * EVALUATION_BATCH * product_outputs
    return 4 * (4 * n_parameters(config, inputs) + max(in_training, in_evaluation))


def n_parameters(config: Config, inputs: int | tuple[int, ...]) -> int:
    """The number of weights and biases of a member, counted without making any.

    Example:
      >>> from dropout_jax.networks.mlp import MLP
      >>> print(n_parameters(Config(MLP((3, 2))), 4))  # 5 · 3 + 4 · 2
      23
    """
    return sum(leaf.size for leaf in jax.tree.leaves(param_shapes(config.model, inputs)))


def _product_outputs(program: Any) -> int:
    """How many numbers the products and convolutions of a program give.

    The body of a scan counts once per iteration, that of a while loop once.
    """
    n = 0
    for equation in program.eqns:
        parts = jax.tree.leaves(list(equation.params.values()))
        within = sum(_product_outputs(part) for part in parts if hasattr(part, "eqns"))
        n += equation.params.get("length", 1) * within
        if equation.primitive.name in ("dot_general", "conv_general_dilated"):
            n += sum(out.aval.size for out in equation.outvars)
    return n
