"""Calls of a network of any kind: checked, in training, and for shapes alone."""

import reprlib
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp

from dropout_jax.networks.protocol import Network, Params


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
