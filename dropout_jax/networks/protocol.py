"""What a network has to offer so that `fit_population` trains it. `networks.mlp.MLP` is one.

Shapes: B batch, L layers with a rate, K outputs.
"""

import re
import reprlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

import jax
import jax.numpy as jnp

Params = Any  # a pytree of arrays; the MLP's is {"params": {"layer_0": {"kernel", "bias"}, …}}

_KERNEL_NAMES = {  # by layout, a pattern for the whole last word of a name
    "in-out": r"(depthwise_|pointwise_|recurrent_)?kernel|w",  # Flax, Keras, Haiku
    "out-in": r"weight|weight_[ih]h(_l\d+(_reverse)?)?|(in|[qkv])_proj_weight",  # PyTorch, Equinox
}
_WRAPPERS = ("value", "raw_value")  # what Flax NNX puts below the name of a parameter


class Network(Protocol):
    """Two pure functions, `init` and `apply`, and the number of rates: all that training asks.

    A network is hashable, as it is fixed when the program is compiled. A Linen module is, if its
    attributes are. A pass is stochastic if and only if it is given a key and rates.

    Parameters with two axes or more are kernels if their names say so (`kernel_layout`):
    `kernel` or `w`, read as [in, out], or `weight`, read as [out, in]. Weight decay acts on them,
    and comparisons measure them.

    Parameters may hold other collections of Flax beside `params`, such as `batch_stats`. A pass of
    training then changes them: it is given their names as `mutable`, and returns outputs and their
    new values, as `apply` of a Linen module does.

    Example:
      >>> import flax.linen as nn
      >>> from dropout_jax.noise import dropout
      >>> class Convolutional(nn.Module):
      ...     features: tuple[int, ...] = (4, 10)  # two rates, ten outputs
      ...
      ...     @nn.compact
      ...     def __call__(self, x, *, key=None, rates=None):
      ...         h = nn.relu(nn.Conv(4, (3, 3))(x))
      ...         if key is not None:  # whole channels; the first rate is not used here
      ...             h = dropout(key, h, rates[1], broadcast_dims=(-3, -2))
      ...         return nn.Dense(10)(h.mean((-3, -2)))
      >>> images = jnp.ones((5, 8, 8, 1))
      >>> params = Convolutional().init(jax.random.key(0), images[0])
      >>> print(Convolutional().apply(params, images).shape)
      (5, 10)
    """

    @property
    def features(self) -> Sequence[int]:
        """One positive integer for each rate [L]; the last is the number K of outputs."""
        ...

    def init(self, key: jax.Array, x: jax.Array, /) -> Params:
        """Fresh parameters for inputs like the example x; consumes the key."""
        ...

    def apply(self, params: Params, x: Any, /, **noise: Any) -> Any:
        """Outputs [K] of an example x, or [B, K] of a batch.

        Args:
          params: what `init` made.
          x: one example, or a batch of them.
          **noise: nothing, or `key`, which is consumed, and `rates` [L], which may be traced; in
            training `mutable`, if there are collections that a pass changes.
        """
        ...


def check_network(model: Any) -> None:
    """Raise TypeError unless the model has what a `Network` has, and is hashable.

    What `apply` takes is seen only when it is traced: `training.checks.check_training`.

    Example:
      >>> check_network("mlp")
      Traceback (most recent call last):
      TypeError: model must be a network with features, init and apply, such as MLP((256, 10)), got
      'mlp', without features
    """
    expected = "model must be a network with features, init and apply, such as MLP((256, 10)), got"
    if isinstance(model, type):
        raise TypeError(f"{expected} the class {model.__name__}: make one of it")
    for name in ("features", "init", "apply"):
        if not hasattr(model, name):
            shown = reprlib.repr(model) if isinstance(model, str) else type(model).__name__
            raise TypeError(f"{expected} {shown}, without {name}")
    try:
        hash(model)
    except TypeError:
        raise TypeError(
            "model must be hashable, as it is fixed when the program is compiled, got one of type "
            f"{type(model).__name__} that is not: "
            "make its class a @dataclass(frozen=True), and its lists tuples"
        ) from None


def training_pass(
    model: Network, params: Params, x: Any, key: jax.Array, rates: Any
) -> tuple[Any, dict[str, Any]]:
    """The outputs of a pass of training, and new values of Flax's collections beside `params`.

    The pass is stochastic and consumes `key`, or deterministic and ignores it if `rates` is None.

    Example:
      >>> from dropout_jax.networks.mlp import MLP
      >>> model, x = MLP((3, 2)), jnp.zeros((5, 4))
      >>> params = model.init(jax.random.key(0), x)
      >>> outputs, changed = training_pass(model, params, x, jax.random.key(1), (0.2, 0.5))
      >>> print(outputs.shape, changed)
      (5, 2) {}
    """
    noise = {} if rates is None else {"key": key, "rates": rates}
    collections = params if isinstance(params, Mapping) and "params" in params else {}
    mutable = [name for name in collections if name != "params"]
    if not mutable:
        return model.apply(params, x, **noise), {}
    outputs, changed = model.apply(params, x, **noise, mutable=mutable)
    return outputs, dict(changed)


def checked_eval_shape(expected: str, fn: Callable, *args: Any) -> Any:
    """`jax.eval_shape` of a function of the user's: shapes and types, without computing anything.

    Raises:
      ValueError: if it raises anything: what was expected, and the first line of the error.

    Example:
      >>> checked_eval_shape("loss_fn must take two numbers, got", lambda a: a, 1.0, 2.0)
      Traceback (most recent call last):
      ValueError: loss_fn must take two numbers, got
      TypeError: <lambda>() takes 1 positional argument but 2 were given
    """
    try:
        return jax.eval_shape(fn, *args)
    except Exception as error:
        message = str(error).strip().partition("\n")[0][:200]
        raise ValueError(f"{expected} {type(error).__name__}: {message}") from error


def param_shapes(model: Network, inputs: int | tuple[int, ...]) -> Params:
    """The shapes and types of fresh parameters, without making any.

    `inputs` is the shape of an example, or the number D of its inputs.

    Raises:
      ValueError: if `init` fails, or a parameter does not hold floating-point numbers.

    Example:
      >>> from dropout_jax.networks.mlp import MLP
      >>> print(param_shapes(MLP((3, 2)), 4)["params"]["layer_0"]["kernel"].shape)
      (4, 3)
    """
    x = jnp.zeros(inputs)
    failed = f"init of the network failed on an example of shape {x.shape}:"
    params = checked_eval_shape(failed, lambda key: model.init(key, x), jax.random.key(0))
    for path, leaf in jax.tree_util.tree_leaves_with_path(params):
        if not jnp.issubdtype(leaf.dtype, jnp.floating):
            name = jax.tree_util.keystr(path, simple=True, separator=".")
            raise ValueError(
                f"parameters must be floating-point numbers, got {leaf.dtype} in {name}"
            )
    return params


def name_parts(name: str) -> list[str]:
    """The steps of a name, down to that of the parameter.

    Example:
      >>> print(name_parts("params.Conv_0/kernel.value"))
      ['params', 'Conv_0', 'kernel']
    """
    words = re.split(r"[./]", name)
    return words[:-1] if words[-1] in _WRAPPERS and len(words) > 1 else words


def kernel_layout(name: str) -> str | None:
    """The layout of a kernel, inferred from the last word of its name; None if no kernel's.

    Example:
      >>> print(kernel_layout("params.Conv_0.kernel"), kernel_layout("fc.bias"))
      in-out None
    """
    word = name_parts(name)[-1]
    found = (layout for layout, names in _KERNEL_NAMES.items() if re.fullmatch(names, word))
    return next(found, None)
