from pathlib import Path
from typing import Any

import equinox as eqx
import flax.linen as nn
import haiku as hk
import hypothesis
import jax
import jax.numpy as jnp
import ml_dtypes
import numpy as np
import pytest
from flax import nnx, traverse_util
from hypothesis import strategies as st
from safetensors.numpy import save_file

from dropout_jax.analysis.uniformity import MEASURES, profile
from dropout_jax.analysis.views import LayerViews, Live, measure_layer
from dropout_jax.cli.file_pictures import layers_shown
from dropout_jax.cli.file_tables import inspect_lines
from dropout_jax.inspection import measures, results, spread
from dropout_jax.inspection.groups import compare_groups
from dropout_jax.inspection.kernels import find_layers
from dropout_jax.inspection.laws import references
from dropout_jax.inspection.measures import inspect, inspect_params
from dropout_jax.inspection.spread import VIEWS, measure
from dropout_jax.inspection.tensors import list_tensors
from dropout_jax.runs import layers_page
from dropout_jax.runs.layers_page import page
from dropout_jax.runs.style import label
from tests.inspection.toys import BIAS, CONVOLUTION, DENSE, group, nnx_orbax
from tests.memory import memory_below


def linen(folder):
    class Network(nn.Module):
        @nn.compact
        def __call__(self, images, x):
            return nn.Conv(4, (3, 2))(images), nn.Dense(4)(x)

    examples = jnp.ones((1, 8, 8, 5)), jnp.ones((1, 6))
    fresh = jax.eval_shape(Network().init, jax.random.key(0), *examples)
    params = {
        "Dense_0": {"kernel": DENSE, "bias": BIAS},
        "Conv_0": {"kernel": CONVOLUTION, "bias": BIAS},
    }
    assert jax.tree.map(np.shape, params) == jax.tree.map(np.shape, fresh["params"])
    flat: Any = traverse_util.flatten_dict({"params": params}, sep=".")
    save_file(flat, folder / "linen.safetensors")
    return folder / "linen.safetensors"


def pytorch(folder):
    torch = pytest.importorskip("torch", reason="torch is not installed: it is of extra [bench]")
    from safetensors.torch import save_file as save_torch

    network = torch.nn.ModuleDict(
        {"dense": torch.nn.Linear(6, 4), "convolution": torch.nn.Conv2d(5, 4, (3, 2))}
    )
    with torch.no_grad():
        network["dense"].weight.copy_(torch.tensor(DENSE.T))
        network["convolution"].weight.copy_(torch.tensor(CONVOLUTION.transpose(3, 2, 0, 1)))
    save_torch(network.state_dict(), folder / "pytorch.safetensors")
    return folder / "pytorch.safetensors"


def equinox(folder):
    network = {
        "dense": eqx.nn.Linear(6, 4, key=jax.random.key(0)),
        "convolution": eqx.nn.Conv2d(5, 4, (3, 2), key=jax.random.key(0)),
    }
    kernels = (jnp.asarray(DENSE.T), jnp.asarray(CONVOLUTION.transpose(3, 2, 0, 1)))
    network = eqx.tree_at(lambda n: (n["dense"].weight, n["convolution"].weight), network, kernels)
    leaves = jax.tree_util.tree_leaves_with_path(eqx.filter(network, eqx.is_array))
    flat = {jax.tree_util.keystr(path, simple=True, separator="."): leaf for path, leaf in leaves}
    np.savez(folder / "equinox.npz", **flat)
    return folder / "equinox.npz"


def haiku(folder):
    def network(images, x):
        return hk.Conv2D(4, (3, 2))(images), hk.Linear(4)(x)

    examples = jnp.ones((1, 8, 8, 5)), jnp.ones((1, 6))
    fresh = jax.eval_shape(hk.transform(network).init, jax.random.key(0), *examples)
    params = {"conv2_d": {"w": CONVOLUTION, "b": BIAS}, "linear": {"w": DENSE, "b": BIAS}}
    assert jax.tree.map(np.shape, params) == jax.tree.map(np.shape, dict(fresh))
    flat: Any = traverse_util.flatten_dict(params, sep="/")
    np.savez(folder / "haiku.npz", **flat)
    return folder / "haiku.npz"


@pytest.mark.parametrize("write", [linen, nnx_orbax, pytorch, equinox, haiku])
def test_the_same_weights_give_the_same_numbers_from_any_framework(write, tmp_path):
    found = inspect(write(tmp_path))
    by_shape = {layer.shape: found.values[name] for name, layer in found.layers.items()}
    assert set(by_shape) == {(6, 4), (30, 4)}
    for kernel in (DENSE, CONVOLUTION.reshape(30, 4)):
        expected = measure(kernel)
        for view in ("entries", "columns"):
            for name in MEASURES:
                got = by_shape[kernel.shape][view][name]
                # a convolution's window and channels come in another order: sums round otherwise
                np.testing.assert_allclose(got, [expected[view][name]], rtol=1e-5)
    assert all("vector" in why for why in found.skipped.values())
    assert found.skipped


def test_recurrent_layers_and_attention_of_pytorch_are_layers(tmp_path):
    torch = pytest.importorskip("torch", reason="torch is not installed: it is of extra [bench]")
    from safetensors.torch import save_file as save_torch

    network = torch.nn.ModuleDict(
        {
            "lstm": torch.nn.LSTM(5, 3, bidirectional=True),
            "gru": torch.nn.GRUCell(5, 3),
            "attention": torch.nn.MultiheadAttention(8, 2),
            "across": torch.nn.MultiheadAttention(8, 2, kdim=6, vdim=4),
        }
    )
    save_torch(network.state_dict(), tmp_path / "pytorch.safetensors")
    found, skipped = find_layers(list_tensors(tmp_path / "pytorch.safetensors"))
    assert all("vector" in why for why in skipped.values())
    shapes = {layer.name: layer.shape for layer in found}
    both = {f"lstm.weight_{of}_l0": (n_in, 12) for of, n_in in (("ih", 5), ("hh", 3))}
    assert shapes == {
        **both,
        **{f"{name}_reverse": shape for name, shape in both.items()},
        "gru.weight_ih": (5, 9),
        "gru.weight_hh": (3, 9),
        "attention.in_proj_weight": (8, 24),
        "attention.out_proj.weight": (8, 8),
        "across.q_proj_weight": (8, 8),
        "across.k_proj_weight": (6, 8),
        "across.v_proj_weight": (4, 8),
        "across.out_proj.weight": (8, 8),
    }


def test_measures_are_those_of_the_main_job():
    live = Live(*(jnp.ones(n, bool) for n in DENSE.shape))
    layer = LayerViews(jnp.asarray(DENSE), live, {})
    expected = jax.jit(measure_layer)(layer, jnp.zeros(DENSE.shape))[0]
    found = measure(DENSE)
    for view in ("entries", "columns"):
        for name in MEASURES:
            np.testing.assert_allclose(found[view][name], expected[view][name], rtol=1e-6)


@pytest.mark.parametrize(
    ("law", "values"),
    [
        ("uniform", (0.333, 0.577, 0.193, 0.556, 0.134, 0.190)),
        ("truncated normal", (0.392, 0.694, 0.255, 0.423, 0.179, 0.235)),
        ("Gaussian", (0.414, 0.756, 0.284, 0.333, 0.202, 0.259)),
    ],
)
def test_references_are_the_closed_forms(law, values):
    exact = {"uniform": 1 / 3, "Gaussian": 2**0.5 - 1}
    # three digits, and Hoyer's √N, of 100,000 quantiles
    np.testing.assert_allclose(list(references()[law].values()), values, atol=1.1e-3)
    if law in exact:
        assert references()[law]["gini"] == pytest.approx(exact[law], abs=1e-5)


def test_fresh_layers_of_either_framework_are_where_their_law_is(tmp_path):
    flax = nn.initializers.lecun_normal()(jax.random.key(0), (300, 200))
    torch_like = np.random.default_rng(0).uniform(-1, 1, (200, 300))
    save_file(
        {"a.kernel": np.asarray(flax), "b.weight": torch_like}, tmp_path / "fresh.safetensors"
    )
    found = inspect(tmp_path / "fresh.safetensors")
    for name, law in (("a.kernel", "truncated normal"), ("b.weight", "uniform")):
        assert found.layers[name].law == law
        for view in VIEWS:
            assert found.values[name][view]["gini"][0] == pytest.approx(
                references()[law]["gini"], abs=0.005
            )


def test_shuffled_columns_tell_unlike_units_from_unlike_weights():
    unlike_units = np.repeat([[1.0, 10.0]], 200, axis=0)
    of = measure(unlike_units.astype(np.float32))
    assert of["columns"]["gini"] == pytest.approx(0, abs=1e-5)
    assert of["columns_shuffled"]["gini"] == pytest.approx(of["entries"]["gini"], rel=0.1)
    unlike_weights = np.random.default_rng(0).laplace(size=(500, 300)).astype(np.float32)
    of = measure(unlike_weights)
    assert of["columns_shuffled"]["gini"] == pytest.approx(of["columns"]["gini"], rel=0.01)


def test_many_layers_with_nan_are_few_warnings_each_with_its_file():
    bad = np.full((2, 2), np.nan)
    params = {"good": {"kernel": DENSE}, **{f"{i}": {"kernel": bad} for i in range(10)}}
    found = inspect_params(params)
    *lines, last = results.warning_lines([found, found])
    assert lines[0] == "Warning: params: 0.kernel holds NaN (4 of 4)"
    assert (len(lines), last) == (8, "Warning: 12 more like these")


def test_parameters_in_memory_are_measured_as_those_of_a_file(tmp_path):
    arrays = {"a.kernel": DENSE, "a.bias": np.ones(3, np.float32)}
    save_file(arrays, tmp_path / "net.safetensors")
    of_file = inspect(str(tmp_path / "net.safetensors"))
    of_tree = inspect_params({"a": {"kernel": jnp.asarray(DENSE), "bias": jnp.ones(3)}})
    assert of_tree.values == of_file.values
    assert of_tree.skipped == of_file.skipped


def test_the_tensors_of_a_run_are_measured_in_memory_as_those_of_its_file(tmp_path):
    run = {"none/0/kernel": np.stack([DENSE, DENSE**2]), "none/0/live_inputs": np.ones((2, 6))}
    save_file(run, tmp_path / "weights.safetensors")
    of_file, of_tree = inspect(tmp_path), inspect_params(run)
    np.testing.assert_equal(of_tree.values, of_file.values)
    assert len(of_tree.values["none/0/kernel"]["entries"]["gini"]) == 2


@pytest.mark.parametrize(
    ("params", "layout", "why"),
    [
        ({"bias": BIAS}, None, "params: must hold a layer's weights, got none: bias is a vector"),
        (DENSE, None, "got none: array is not named as kernels are: give the layout, in-out or"),
        ({"kernel": DENSE}, "in_out", "layout must be in-out or out-in, got 'in_out'"),
    ],
)
def test_parameters_without_a_layer_and_layouts_of_no_kind_are_refused(params, layout, why):
    with pytest.raises(ValueError, match=why):
        inspect_params(params, layout=layout)


@pytest.mark.parametrize("path", ["a.npz", Path("a.npz")])
def test_a_path_is_no_tree_and_sent_to_the_function_for_files(path):
    wanted = r"must be a tree of arrays, got a\.npz: a file is for inspect$"
    with pytest.raises(TypeError, match=wanted):
        inspect_params(path)


def test_an_array_without_a_name_is_measured_if_its_layout_is_given():
    assert inspect_params(DENSE, layout="out-in").layers["array"].shape == (4, 6)


def test_the_keys_of_a_state_are_passed_over():
    class Dropped(nnx.Module):
        def __init__(self, rngs):
            self.linear, self.drop = nnx.Linear(6, 4, rngs=rngs), nnx.Dropout(0.5, rngs=rngs)

    found = inspect_params(nnx.state(Dropped(nnx.Rngs(0))))
    assert [layer.shape for layer in found.layers.values()] == [(6, 4)]


def test_a_module_of_equinox_is_measured_as_it_is():
    network = eqx.nn.MLP(6, 4, 8, 1, key=jax.random.key(0))
    found = inspect_params({"network": network, "name": "mine"})
    shapes = {name: layer.shape for name, layer in found.layers.items()}
    assert shapes == {"network.layers.0.weight": (6, 8), "network.layers.1.weight": (8, 4)}
    assert list(found.skipped) == ["network.layers.0.bias", "network.layers.1.bias"]


def test_what_was_found_shows_itself_in_a_line_and_in_a_notebook_as_a_table():
    bad = np.full((2, 2), np.nan)
    params = {"<b>": {"kernel": DENSE}, "c": {"kernel": 2 * DENSE}, "nan": {"kernel": bad}}
    found = inspect_params(params)
    gini = f"{found.values['c.kernel']['entries']['gini'][0]:.3f}"
    wanted = f"params: 3 layers of 52 weights, Gini of |w| {gini} to {gini}; its numbers: .values"
    assert repr(found) == wanted
    table = found._repr_html_()
    assert f"<tr><td>&lt;b&gt;.kernel<td>6 → 4<td>{gini}<tr>" in table
    assert "<td>nan.kernel<td>2 → 2<td>–<" in table


def test_the_name_of_a_file_is_one_line_of_a_legend(tmp_path):
    path = tmp_path / f"{'long-' * 20}long0.safetensors"
    save_file({"a.kernel": DENSE}, path)
    found = inspect(path)
    (name, _) = layers_shown([found, found], [], 0).groups
    assert label(name).splitlines() == ["file 1:", "long-long-long…ng-long-long0"]


def test_networks_without_a_layer_in_common_say_so():
    one, other = (inspect_params({name: {"kernel": DENSE}}) for name in ("a", "b"))
    said = " ".join(str(line) for line in inspect_lines([one, other], [], 0, False, []))
    assert "No layer name occurs in all networks" in said
    same = " ".join(map(str, inspect_lines([one, one], [], 0, False, [])))
    assert "No layer name" not in same
    assert "One network each tells nothing about chance: compare groups" in same


# Exact in every type, at every scale below.
WHOLE = np.random.default_rng(0).integers(-9, 10, (30, 20)).astype(float)
STABLE_RANK = (np.linalg.norm(WHOLE) / np.linalg.norm(WHOLE, 2)) ** 2


@pytest.mark.parametrize(
    ("dtype", "powers"),
    [
        (np.float64, (-1074, -1022, -700, 700, 1019)),
        (np.float32, (-149, -128, -126, 100, 124)),
        (ml_dtypes.bfloat16, (-133, -128, 124)),
        (np.float16, (-24, -16, 12)),
    ],
)
def test_a_layer_is_measured_the_same_at_every_scale_of_its_type(dtype, powers, tmp_path):
    kernels = {f"{p}.kernel": np.ldexp(WHOLE, p).astype(dtype) for p in powers}
    save_file(kernels, tmp_path / "scales.safetensors")
    flat: Any = kernels
    np.savez(tmp_path / "scales.npz", **flat)
    for path in tmp_path.iterdir():
        if dtype == ml_dtypes.bfloat16 and path.suffix == ".npz":
            continue  # which does not say that it holds bfloat16
        values = inspect(path).values
        assert len(values) == len(powers)
        for name, of in values.items():
            views, size = ({v: of[v] for v in VIEWS}, of["size"])
            assert jax.tree.map(np.ndarray.item, views) == measure(WHOLE.astype(np.float32)), name
            with np.errstate(over="ignore"):  # the norm of the largest is inf in double precision
                norm = np.ldexp(np.linalg.norm(WHOLE), int(name.removesuffix(".kernel")))
            assert size["norm"] == pytest.approx(norm, rel=1e-6), name
            assert size["stable_rank"] == pytest.approx(STABLE_RANK, rel=1e-4), name


@pytest.mark.parametrize("scale", [1e-300, 1e-38, 1e37, 1e300])
def test_the_seeds_of_a_run_in_float64_are_measured_at_any_scale(scale, tmp_path):
    run = {
        "a/0/kernel": scale * np.stack([DENSE, DENSE]).astype(float),
        "a/0/live_inputs": np.ones((2, 6)),
    }
    save_file(run, tmp_path / "weights.safetensors")
    found = inspect(tmp_path).values["a/0/kernel"]["entries"]
    for name, value in measure(DENSE)["entries"].items():
        np.testing.assert_allclose(found[name], value, rtol=1e-5)


def values_of_run(folder, kernel, inputs, outputs):
    """The values of a run of one layer and one seed."""
    run = {"kernel": kernel, "live_inputs": inputs, "live_outputs": outputs}
    save_file({f"a/0/{name}": of[None] for name, of in run.items()}, folder / "weights.safetensors")
    return inspect(folder).values["a/0/kernel"]


@pytest.mark.parametrize("shape", [(9, 5), (7, 300)])
def test_units_measured_in_blocks_are_those_measured_at_once(shape, tmp_path):
    rng = np.random.default_rng(0)
    kernel = rng.laplace(size=shape).astype(np.float32)
    inputs, outputs = rng.random(shape[0]) < 0.9, rng.random(shape[1]) < 0.7
    inputs[:2] = outputs[:1] = True
    live = Live(jnp.asarray(inputs), jnp.asarray(outputs))
    layer = LayerViews(jnp.asarray(kernel), live, {})
    expected = jax.jit(measure_layer)(layer, jnp.zeros(shape))[0]
    found = values_of_run(tmp_path, kernel, inputs, outputs)
    for view in ("entries", "columns"):
        for name in MEASURES:
            np.testing.assert_allclose(found[view][name], expected[view][name], rtol=1e-5)


def test_a_unit_without_weights_is_left_out():
    pruned = np.append(DENSE, np.zeros((6, 1), np.float32), axis=1)
    found, expected = inspect_params({"kernel": pruned}).values["kernel"], measure(DENSE)
    for view in ("entries", "columns"):
        assert found[view]["gini"].item() == pytest.approx(expected[view]["gini"], rel=1e-6)


def test_a_unit_with_weights_of_dead_inputs_alone_is_left_out(tmp_path):
    inputs = np.array([True, True, True, True, True, False])
    of_dead = np.append(DENSE, np.eye(6, dtype=np.float32)[:, 5:], axis=1)
    found = values_of_run(tmp_path, of_dead, inputs, np.ones(5, bool))["columns"]
    expected = measure(DENSE[:5])["columns"]
    assert {name: values.item() for name, values in found.items()} == pytest.approx(expected)


@pytest.mark.parametrize("write", [save_file, lambda flat, path: np.savez(path, **flat)])
def test_memory_is_bounded_by_a_layer_not_by_the_file(write, tmp_path):
    kernel = np.random.default_rng(0).normal(size=(384, 384)).astype(np.float32)
    n_layers = 24
    name = "many.safetensors" if write is save_file else "many.npz"
    write({f"{i}.kernel": kernel for i in range(n_layers)}, tmp_path / name)
    measure(kernel)  # what is compiled stays
    with memory_below(8 * kernel.nbytes):
        found = inspect(tmp_path / name)
    assert len(found.layers) == n_layers


def test_a_network_of_a_run_that_diverged_is_named_and_the_others_are_measured(tmp_path):
    kernels = np.stack([DENSE, np.full_like(DENSE, np.nan), DENSE])
    run = {"a/0/kernel": kernels, "a/0/live_inputs": np.ones((3, 6), np.float32)}
    save_file(run, tmp_path / "weights.safetensors")
    found = inspect(tmp_path)
    assert found.warnings == {"a/0/kernel[1]": "holds NaN (24 of 24)"}
    values = found.values["a/0/kernel"]["entries"]["gini"]
    np.testing.assert_array_equal(np.isnan(values), [False, True, False])
    assert measures.mean(values) == pytest.approx(measure(DENSE)["entries"]["gini"])
    rows = results.tidy([found])
    assert {row.seed for row in rows} == {0, 2}  # seeds keep their places


@pytest.mark.parametrize("paired", [False, True])
def test_groups_that_differ_are_told_apart_and_others_are_not(paired, tmp_path):
    baseline, same, uniform = (
        [inspect(path) for path in group(tmp_path, name, scale, 8)]
        for name, scale in (("a", 1), ("b", 1), ("c", 30))
    )
    for against, wanted in ((uniform, {"more uniform"}), (same, {"undecided", "negligible"})):
        rows = compare_groups(baseline, against, paired)
        assert {row["layer"] for row in rows} == {"a.kernel"}
        assert {row["verdict"] for row in rows} <= wanted
        for row in rows:
            values = [
                [f.values["a.kernel"][row["view"]][row["measure"]][0] for f in files]
                for files in (baseline, against)
            ]
            difference = np.mean(values[1]) - np.mean(values[0])
            assert row["difference"] == pytest.approx(difference, rel=1e-6)


def test_groups_without_a_common_layer_are_refused(tmp_path):
    save_file({"b.kernel": DENSE}, tmp_path / "b.safetensors")
    files = [inspect(path) for path in group(tmp_path, "a", 1, 2)]
    other = [inspect(tmp_path / "b.safetensors")] * 2
    with pytest.raises(ValueError, match="must have a layer of the same name and shape, got none"):
        compare_groups(files, other, paired=False)


@pytest.mark.parametrize("paired", [False, True])
def test_groups_of_nan_alone_are_rows_without_numbers(paired):
    files = [inspect_params({"a": {"w": np.nan * DENSE}}) for _ in range(4)]
    for row in compare_groups(files[:2], files[2:], paired):
        assert row["verdict"] == "undecided"
        assert np.isnan([row["difference"], row["p_adjusted"]]).all()


def test_the_profiles_of_a_file_are_kept_if_asked_and_are_those_of_its_weights(tmp_path):
    bad = DENSE.copy()
    bad[0, 0] = np.inf
    save_file({"a.kernel": DENSE, "b.kernel": bad}, tmp_path / "net.safetensors")
    assert inspect(tmp_path / "net.safetensors").profiles == {}
    kept = inspect(tmp_path / "net.safetensors", profiled=True).profiles
    assert list(kept) == ["a.kernel"]
    wanted = profile(jnp.asarray(DENSE), n_points=101)
    np.testing.assert_allclose(kept["a.kernel"].relative, wanted.relative[None], rtol=1e-6)
    np.testing.assert_allclose(kept["a.kernel"].lorenz, wanted.lorenz[None], rtol=1e-5)


def test_the_page_holds_the_numbers_of_layers_that_only_some_files_have(tmp_path):
    save_file({"a.kernel": DENSE, "c.kernel": 0 * DENSE}, tmp_path / "one.safetensors")
    save_file({"a.kernel": DENSE, "b.kernel": DENSE}, tmp_path / "two.safetensors")
    found = [inspect(tmp_path / f"{n}.safetensors", profiled=True) for n in ("one", "two")]
    shown = layers_shown(found, [], 0)
    assert list(shown.starts) == ["a.kernel", "b.kernel", "c.kernel"]
    assert list(shown.groups) == ["file 1: one.safetensors", "file 2: two.safetensors"]
    gini = found[0].values["a.kernel"]["entries"]["gini"].item()
    first, second = shown.lines.values()
    np.testing.assert_array_equal(first, [[gini, np.nan, np.nan]])
    np.testing.assert_array_equal(second, [[gini, gini, np.nan]])
    (table,) = shown.tables
    assert [row[1] for row in table.rows] == [
        *("a.kernel", "c.kernel", "all layers: 48 weights"),
        *("a.kernel", "b.kernel", "all layers: 48 weights"),
    ]
    assert "Layers are in the order of their names." in page(shown)
    assert page(shown).startswith("<!doctype html>")


def test_the_conditions_of_a_run_are_drawn_side_by_side(tmp_path, monkeypatch):
    kernels = np.random.default_rng(0).normal(size=(2, 11, 3, 6, 6)).astype(np.float32)
    run = {}
    for c, condition in enumerate(("none", "a b")):
        for l in range(11):
            run[f"{condition}/{l}/kernel"] = kernels[c, l]
            run[f"{condition}/{l}/live_inputs"] = np.ones((3, 6), np.float32)
    save_file(run, tmp_path / "weights.safetensors")
    found = inspect(tmp_path, profiled=True)
    shown = layers_shown([found], [], 0)
    assert {name: values.shape for name, values in shown.lines.items()} == {
        "a b": (3, 11),
        "none": (3, 11),
    }
    assert list(shown.starts) == [f"layer {l}" for l in range(11)]
    assert list(found.layers) == [f"{of}/{l}/kernel" for of in ("a b", "none") for l in range(11)]
    gini = found.values["none/1/kernel"]["entries"]["gini"]
    np.testing.assert_array_equal(shown.lines["none"][:, 1], gini)
    np.testing.assert_array_equal(
        shown.profiles["layer 1"][list(shown.lines).index("none")].lorenz,
        found.profiles["none/1/kernel"].lorenz,
    )
    monkeypatch.setattr(layers_page, "inline_svg", lambda *_: "")  # the text does not depend on it
    text = page(shown)
    assert "Lines are means over networks" in text
    assert "tells nothing about chance" not in text


def test_layers_of_many_shapes_share_few_compiled_programs():
    rng, shapes = np.random.default_rng(0), [(2, 3), (9, 5), (30, 60), (64, 300)]
    for shape in shapes:  # one size of inputs, two of weights
        measure(rng.laplace(size=shape).astype(np.float32))
    programs: list[Any] = [
        spread._measure_entries,
        spread._measure_units,
    ]  # Any: what jit returns has more
    compiled = [of._cache_size() for of in programs]
    for n_in, n_out in shapes:
        measure(rng.laplace(size=(n_in - 1, n_out + 1)).astype(np.float32))
    assert [of._cache_size() for of in programs] == compiled


@hypothesis.given(st.integers(0, 10**9), st.sampled_from([1, 64, 1 << 14]))
def test_what_is_filled_up_grows_by_a_quarter_at_most_and_to_few_sizes(n, least):
    size = spread._padded_size(n, least)
    assert size % least == 0
    assert n <= size <= max(least, n + max(least, n / 4))
    assert spread._padded_size(size, least) == size  # so that it is one of few
