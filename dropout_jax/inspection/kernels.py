"""Which tensors of a file are layers, by the rule of `analysis.trees`, and how each is read.

Shapes: S networks (seeds) of a file.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import NamedTuple

import jax
import numpy as np

from dropout_jax.analysis.trees import as_matrix, layout_of, natural, shape_of_bias, why_none
from dropout_jax.analysis.views import Live
from dropout_jax.inspection.alive import all_alive, in_float32
from dropout_jax.inspection.tensors import Tensor

_LAW_OF = {"in-out": "truncated normal", "out-in": "uniform"}  # usual initial laws there


class Layer(NamedTuple):
    """One affine layer or convolution of a file.

    Attributes:
      name: the name of its kernel.
      shape: [in, out].
      law: the usual law of its initial weights, inferred from the name.
      n_networks: S; 1 unless the file belongs to a run.
      read: returns what `Read` names, of network s.
    """

    name: str
    shape: tuple[int, int]
    law: str
    n_networks: int
    read: Callable[[int], "Read"]


class Read(NamedTuple):
    """A kernel [in, out] and e by `alive.in_float32`, and what of the kernel is alive."""

    kernel: np.ndarray
    live: Live
    exponent: int = 0


def layers_of(
    tensors: Sequence[Tensor], layout: str | None = None
) -> tuple[list[Layer], dict[str, str]]:
    """The layers among tensors, and for every other tensor the reason why it is none.

    Args:
      tensors: those of one file.
      layout: `in-out` or `out-in`, for all kernels; by default inferred from the names.

    Raises:
      ValueError: for another layout.

    Example:
      >>> weight = np.ones((10, 64), np.float32)  # [out, in], as PyTorch has it
      >>> (layer,), skipped = layers_of([Tensor("0.weight", (10, 64), "float32", lambda _: weight)])
      >>> print(layer.shape, skipped)
      (64, 10) {}
    """
    if layout not in (None, *_LAW_OF):
        raise ValueError(f"layout must be {' or '.join(_LAW_OF)}, got {layout!r}")
    by_name = {tensor.name: tensor for tensor in tensors}
    if run := _layers_of_run(by_name):
        return run, {}
    found, skipped = [], {}
    shapes = {tensor.name: tensor.shape for tensor in tensors}
    for tensor in sorted(tensors, key=lambda tensor: natural(tensor.name)):
        if why := why_none(tensor.name, tensor.dtype, shapes):
            skipped[tensor.name] = why
        elif inferred := layout or layout_of(tensor.name):
            found.append(_layer(tensor, inferred, shape_of_bias(tensor.name, shapes)))
        else:
            skipped[tensor.name] = "not named as kernels are: give the layout, in-out or out-in"
    return found, skipped


def _layer(tensor: Tensor, layout: str, bias: tuple[int, ...]) -> Layer:
    """A tensor as a layer."""
    as_kernel = partial(as_matrix, tensor.name, layout=layout, bias=bias)
    shape = jax.eval_shape(as_kernel, jax.ShapeDtypeStruct(tensor.shape, np.float32)).shape
    return Layer(tensor.name, shape, _LAW_OF[layout], 1, partial(_read, tensor, as_kernel))


def _read(tensor: Tensor, as_kernel: Callable[[np.ndarray], np.ndarray], _: int) -> Read:
    single, exponent = in_float32(np.asarray(tensor.read(None)))
    kernel = as_kernel(single)
    return Read(kernel, all_alive(kernel), exponent)


def _layers_of_run(tensors: Mapping[str, Tensor]) -> list[Layer]:
    """The layers of `weights.safetensors` of a run, each with S seeds, without what is dead.

    Such a file has `{condition}/{layer}/kernel` beside `{condition}/{layer}/live_inputs`.
    """
    found = []
    for name, tensor in sorted(tensors.items(), key=lambda item: natural(item[0])):
        named = re.fullmatch(r"([^/]+)/(\d+)/kernel", name)
        live = tensors.get(f"{named[1]}/{named[2]}/live_inputs") if named else None
        if named and live and len(tensor.shape) == 3:
            outputs = tensors.get(f"{named[1]}/{named[2]}/live_outputs")
            following = outputs or tensors.get(f"{named[1]}/{int(named[2]) + 1}/live_inputs")
            read = partial(_read_of_run, tensor, live, following)
            n_seeds, n_in, n_out = tensor.shape
            found.append(Layer(name, (n_in, n_out), _LAW_OF["in-out"], n_seeds, read))
    return found


def _read_of_run(tensor: Tensor, inputs: Tensor, outputs: Tensor | None, s: int) -> Read:
    kernel, exponent = in_float32(tensor.read(s))
    live = all_alive(kernel)._replace(inputs=inputs.read(s).astype(bool))
    live = live if outputs is None else live._replace(outputs=outputs.read(s) != 0)
    return Read(kernel, live, exponent)
