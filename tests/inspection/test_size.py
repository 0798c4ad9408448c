import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.numpy import save_file

from dropout_jax.inspection.kernels import Kernel
from dropout_jax.inspection.measures import inspect, inspect_params
from dropout_jax.inspection.size import measure_size


@settings(max_examples=50, deadline=None)
@given(st.integers(1, 30), st.integers(1, 30), st.integers(0, 1000))
def test_the_sizes_are_those_of_the_singular_values(n_in, n_out, seed):
    kernel = np.random.default_rng(seed).normal(size=(n_in, n_out)).astype(np.float32)
    values = np.linalg.svd(kernel.astype(np.float64), compute_uv=False)
    size = measure_size(Kernel(kernel, kernel))
    assert size.weights == n_in * n_out
    assert size.norm == pytest.approx(np.sqrt((values**2).sum()), rel=1e-5)
    assert size.spectral_norm == pytest.approx(values[0], rel=1e-4)
    assert 1 - 1e-3 <= size.stable_rank <= min(n_in, n_out) * (1 + 1e-3)
    assert size.dead_units == 0


def test_a_kernel_of_one_direction_has_stable_rank_1_and_an_orthogonal_one_its_width():
    one = np.outer(np.arange(1, 6), np.arange(1, 4)).astype(np.float32)
    assert measure_size(Kernel(one, one)).stable_rank == pytest.approx(1, rel=1e-4)
    eye = np.eye(7, 5, dtype=np.float32)
    assert measure_size(Kernel(eye, eye)).stable_rank == pytest.approx(5, rel=1e-4)


@pytest.mark.parametrize("n", [8, 21, 128])
def test_kernels_whose_singular_values_are_equal_have_a_size(n):
    for kernel in (np.eye(n), np.roll(np.eye(n), 1, axis=0), np.diag((-1.0) ** np.arange(n))):
        single = kernel.astype(np.float32)
        size = measure_size(Kernel(single, single))
        assert (size.spectral_norm, size.stable_rank) == pytest.approx((1, n), rel=1e-4)


def test_a_unit_is_dead_if_it_is_constant_or_if_all_its_live_inputs_have_weight_0(tmp_path):
    kernel = np.array([[1, 0, 0, 2], [1, 0, 5, 2]], np.float32)
    masks = {"live_inputs": [True, False], "live_outputs": [True, True, True, False]}
    run = {"kernel": kernel, **{name: np.array(of) for name, of in masks.items()}}
    save_file({f"a/0/{n}": of[None] for n, of in run.items()}, tmp_path / "weights.safetensors")
    sizes = inspect(tmp_path).values["a/0/kernel"]["size"]
    assert sizes["dead_units"] == 3  # without weight; behind a dead input; constant


@pytest.mark.parametrize("scale", [1.0, 1e-200, 1e200])
def test_weights_of_double_precision_have_their_own_norm_whatever_their_scale(scale):
    kernel = scale * np.array([[3.0, 0.0], [0.0, 4.0]])
    sizes = inspect_params({"a": {"kernel": kernel}}).values["a.kernel"]["size"]
    assert sizes["norm"][0] == pytest.approx(5 * scale, rel=1e-6)
    assert sizes["spectral_norm"][0] == pytest.approx(4 * scale, rel=1e-4)


def test_a_kernel_that_is_not_finite_has_no_size():
    params = {"a": {"kernel": np.full((2, 2), np.nan)}, "b": {"kernel": np.ones((2, 2))}}
    assert np.isnan(inspect_params(params).values["a.kernel"]["size"]["norm"][0])


@pytest.mark.parametrize("shape", [(1, 3), (4, 3)])
def test_a_kernel_that_is_0_everywhere_has_norm_0_and_all_its_units_are_dead(shape):
    params = {"a": {"kernel": np.zeros(shape)}, "b": {"kernel": np.ones((2, 2))}}
    sizes = inspect_params(params).values["a.kernel"]["size"]
    assert [sizes[of][0] for of in ("norm", "spectral_norm", "dead_units")] == [0, 0, 3]
    assert np.isnan(sizes["stable_rank"][0])
