"""Whatever a public function is given, it gives the right result or one clear line, never more.

Tests of this draw their input from `tests.drawn`, and say by a rule of their own which is good.
"""

import jax
import numpy as np
import pytest

from dropout_jax.populations import population
from dropout_jax.training import epochs, evaluation

# Made in the tests: a process that imports this may have yet to say what devices it has.
ADVICE = r"; make one with jax\.random\.key\(seed\), or .*wrap_key_data"
BAD_KEYS = {
    "legacy": (lambda: jax.random.PRNGKey(0), "got uint32" + ADVICE),
    "several": (
        lambda: jax.random.split(jax.random.key(0), 2),
        r"must be one key, got an array of keys of shape \(2,\)",
    ),
    "a seed": (lambda: 0, "got int" + ADVICE),
    "none": (lambda: None, "got NoneType" + ADVICE),
    "an array": (lambda: np.zeros(2, np.uint32), "got uint32" + ADVICE),
}
bad_keys = pytest.mark.parametrize(("make", "message"), list(BAD_KEYS.values()), ids=list(BAD_KEYS))


def fresh_key():
    return jax.random.key(np.random.default_rng(0).integers(2**31))


def is_real(value):
    return isinstance(value, int | float) or type(value) is bool


def outcome(function, *args, **kwargs):
    """What the function gives, or None if it refuses in one line, as bad input is to be refused."""
    try:
        return function(*args, **kwargs)
    except (ValueError, TypeError) as error:
        said = str(error)
        assert 0 < len(said) < 400, said
        assert "\n" not in said, said
        return None


def assert_advises_on_a_key(call, make, message):
    with pytest.raises(TypeError, match=message) as caught:
        call(make())
    assert "\n" not in str(caught.value)


def assert_refused_in_one_short_line(call):
    with pytest.raises((ValueError, TypeError)) as caught:
        call()
    assert "\n" not in str(caught.value), caught.value
    assert len(str(caught.value)) < 120, caught.value


class ReachedError(Exception):
    """Input was let in."""


def is_let_in(function, *args, **kwargs):
    """Whether training or evaluation would begin to compute, where it ends instead."""

    def reached(*_, **__):
        raise ReachedError

    with pytest.MonkeyPatch.context() as patch:
        for module, name in (
            (epochs, "_fit"),
            (evaluation, "_evaluate"),
            (population, "make_store"),
        ):
            patch.setattr(module, name, reached)
        try:
            assert outcome(function, *args, **kwargs) is None, "it did not end at the gate"
        except ReachedError:
            return True
        return False
