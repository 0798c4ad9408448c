"""Which tensors of a file are layers, by the rule of `analysis.trees`, and how each is read.

Shapes: S networks (seeds) of a file.
"""

import re
from collections.abc import Callable, Sequence
from functools import partial
from typing import NamedTuple

import jax
import numpy as np

from dropout_jax.analysis.trees import as_matrix, kernel_layout, natural_key, reason_not_kernel
from dropout_jax.inspection.tensors import Tensor

_LAW_OF = {"in-out": "truncated normal", "out-in": "uniform"}  # usual initial laws there


class Kernel(NamedTuple):
    """The weights of one layer of one network, as they are measured.

    Attributes:
      weights: [in, out] in float32; those of the file are weights · 2^exponent.
      alive: the weights without dead inputs (rows) and dead units (columns); a unit is also dead
        if all its weights from live inputs are 0.
      exponent: 0 unless the file has float64.
    """

    weights: np.ndarray
    alive: np.ndarray
    exponent: int = 0


class Layer(NamedTuple):
    """One affine layer or convolution of a file.

    Attributes:
      name: the name of its kernel.
      shape: [in, out].
      law: the usual law of its initial weights, inferred from the name.
      n_networks: S; 1 unless the file belongs to a run.
      read: returns the kernel of network s.
    """

    name: str
    shape: tuple[int, int]
    law: str
    n_networks: int
    read: Callable[[int], Kernel]


def find_layers(
    tensors: Sequence[Tensor], layout: str | None = None
) -> tuple[list[Layer], dict[str, str]]:
    """The layers among the tensors of one file, and why every other tensor is none.

    `layout` is `in-out` or `out-in`, for all kernels; by default it is inferred from the names.

    Raises:
      ValueError: for another layout.
    """
    if layout not in (None, *_LAW_OF):
        raise ValueError(f"layout must be {' or '.join(_LAW_OF)}, got {layout!r}")
    tensors = sorted(tensors, key=lambda tensor: natural_key(tensor.name))
    if run := _layers_of_run(tensors):
        return run, {}
    found, skipped = [], {}
    shapes = {tensor.name: tensor.shape for tensor in tensors}
    for tensor in tensors:
        name = tensor.name
        if why := reason_not_kernel(name, tensor.dtype, shapes):
            skipped[name] = why
        elif order := layout or kernel_layout(name):
            as_kernel = partial(as_matrix, name, layout=order, shapes=shapes)
            shape = jax.eval_shape(as_kernel, jax.ShapeDtypeStruct(tensor.shape, np.float32)).shape
            found.append(Layer(name, shape, _LAW_OF[order], 1, partial(_read, tensor, as_kernel)))
        else:
            skipped[name] = "not named as kernels are: give the layout, in-out or out-in"
    return found, skipped


def _layers_of_run(tensors: Sequence[Tensor]) -> list[Layer]:
    """The layers in a run's `weights.safetensors`, each with S seeds; empty for any other file.

    A run has `{condition}/{layer}/kernel` beside `{condition}/{layer}/live_inputs`. The live
    outputs of a layer are the live inputs of the next, unless it has `live_outputs` of its own.
    """
    by_name = {tensor.name: tensor for tensor in tensors}
    found = []
    for name, tensor in by_name.items():
        match = re.fullmatch(r"([^/]+)/(\d+)/kernel", name)
        if not match or len(tensor.shape) != 3:
            continue
        condition, l = match.groups()
        inputs = by_name.get(f"{condition}/{l}/live_inputs")
        outputs = by_name.get(f"{condition}/{l}/live_outputs")
        following = by_name.get(f"{condition}/{int(l) + 1}/live_inputs")
        if inputs:
            read = partial(_read_of_run, tensor, inputs, outputs or following)
            n_seeds, n_in, n_out = tensor.shape
            found.append(Layer(name, (n_in, n_out), _LAW_OF["in-out"], n_seeds, read))
    return found


def _read(tensor: Tensor, as_kernel: Callable[[np.ndarray], np.ndarray], _: int) -> Kernel:
    single, exponent = _in_float32(tensor.read(None))
    weights = as_kernel(single)
    return Kernel(weights, _alive(weights, np.ones(len(weights), bool)), exponent)


def _read_of_run(tensor: Tensor, inputs: Tensor, outputs: Tensor | None, s: int) -> Kernel:
    weights, exponent = _in_float32(tensor.read(s))
    masks = (mask.read(s) != 0 for mask in (inputs, outputs) if mask)
    return Kernel(weights, _alive(weights, *masks), exponent)


def _in_float32(array: np.ndarray) -> tuple[np.ndarray, int]:
    """An array of any floating type as float32, and the e of the factor 2^-e that scales it.

    Only float64 is scaled, so that its largest magnitude lies in [.5, 1); else e is 0. No measure
    depends on the scale. Only weights below 2⁻¹⁴⁹ of the largest become 0.
    """
    if array.dtype != np.float64:
        return array.astype(np.float32, copy=False), 0
    finite = np.isfinite(array)
    largest = max(array.max(initial=0, where=finite), -array.min(initial=0, where=finite))
    _, exponent = np.frexp(largest)
    single = np.empty(array.shape, np.float32)
    np.ldexp(array, -exponent, out=single, casting="same_kind")  # by pieces: no copy
    return single, int(exponent)


def _alive(
    weights: np.ndarray, inputs: np.ndarray, outputs: np.ndarray | bool = True
) -> np.ndarray:
    """The weights between live inputs and units; a unit without a weight from them is dead."""
    units = outputs & weights.any(axis=0, where=inputs[:, None])
    return weights if inputs.all() and units.all() else weights[np.ix_(inputs, units)]
