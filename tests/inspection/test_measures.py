import csv
import json
import os
import re
import shutil
import warnings
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
import orbax.checkpoint as ocp
import pytest
from flax import nnx, traverse_util
from hypothesis import strategies as st
from safetensors.numpy import save_file

from dropout_jax.analysis.uniformity import MEASURES, profile
from dropout_jax.analysis.views import LayerViews, Live, measure_layer
from dropout_jax.cli.file_pictures import layers_shown
from dropout_jax.cli.file_tables import inspect_lines
from dropout_jax.cli.main import run_command
from dropout_jax.inspection import measures, results, spread
from dropout_jax.inspection.groups import compare_groups
from dropout_jax.inspection.kernels import find_layers
from dropout_jax.inspection.laws import references
from dropout_jax.inspection.measures import inspect, inspect_params
from dropout_jax.inspection.spread import VIEWS, measure
from dropout_jax.inspection.tensors import list_tensors
from dropout_jax.io import figures
from dropout_jax.runs import layers_page
from dropout_jax.runs.layers_page import page
from dropout_jax.runs.style import label
from tests.memory import memory_below

RNG = np.random.default_rng(0)
DENSE = RNG.normal(size=(6, 4)).astype(np.float32)  # [in, out]
CONVOLUTION = RNG.laplace(size=(3, 2, 5, 4)).astype(np.float32)  # [height, width, in, out]
BIAS = RNG.normal(size=4).astype(np.float32)


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


def nnx_orbax(folder):
    class Network(nnx.Module):
        def __init__(self):
            self.dense = nnx.Linear(6, 4, rngs=nnx.Rngs(0))
            self.convolution = nnx.Conv(5, 4, (3, 2), rngs=nnx.Rngs(0))

    network = Network()
    network.dense.kernel[...] = DENSE
    network.convolution.kernel[...] = CONVOLUTION
    with ocp.StandardCheckpointer() as writer:
        writer.save(folder / "nnx", nnx.state(network))
    return folder / "nnx"


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


@pytest.mark.slow
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
    torch_like = RNG.uniform(-1, 1, (200, 300))
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
    unlike_weights = RNG.laplace(size=(500, 300)).astype(np.float32)
    of = measure(unlike_weights)
    assert of["columns_shuffled"]["gini"] == pytest.approx(of["columns"]["gini"], rel=0.01)


def test_what_is_not_finite_or_all_0_is_a_row_without_numbers_and_a_warning(tmp_path, capsys):
    bad, wild = DENSE.copy(), 1e300 * DENSE.astype(float)
    bad[1, 1], bad[2, 2] = np.nan, np.inf
    wild[2] = -np.inf
    arrays = {
        "nan.kernel": bad,
        "inf.kernel": wild,
        "zero.kernel": 0 * DENSE,
        "good.kernel": DENSE,
    }
    save_file(arrays, tmp_path / "some.safetensors")
    found = inspect(tmp_path / "some.safetensors")
    assert sorted(found.layers) == sorted(arrays)
    assert found.skipped == {}
    assert found.warnings == {
        "inf.kernel": "holds infinity (4 of 24)",
        "nan.kernel": "holds NaN (1 of 24)",
        "zero.kernel": "is 0 everywhere",
    }
    for name in found.warnings:
        assert np.isnan(found.values[name]["entries"]["gini"]).all()
    assert np.isfinite(found.values["good.kernel"]["entries"]["gini"]).all()
    lines = list(inspect_lines([found], [], 0, False, []))
    assert lines[0].plain == str(tmp_path / "some.safetensors")
    assert lines[1].columns[2]._cells.count("–") == 3
    page = tmp_path / "page.html"
    assert run_command(["inspect", str(found.path), "--report", str(page)]) == 0
    output = capsys.readouterr().out
    assert "\nWarning: nan.kernel holds NaN (1 of 24)\n" in output
    norm = f"{np.linalg.norm(DENSE):.3g}"
    assert re.search(rf"all that are measured +48 +{norm} +– +– +4 ", output)
    assert "holds 96 numbers, 96 of them in these layers" in output
    assert "nan.kernel holds NaN (1 of 24)</p>" in page.read_text(encoding="utf-8")


def test_the_sum_over_layers_is_over_all_of_them_if_all_are_measured(tmp_path, capsys):
    save_file({"a.kernel": DENSE, "b.kernel": DENSE, "bias": BIAS}, tmp_path / "net.safetensors")
    assert run_command(["inspect", str(tmp_path / "net.safetensors")]) == 0
    output = capsys.readouterr().out
    assert re.search(rf"all layers +48 +{2**0.5 * np.linalg.norm(DENSE):.3g} ", output)
    assert "holds 52 numbers, 48 of them in these layers" in output


@pytest.mark.parametrize(
    ("name", "law"),
    [
        ("a.kernel", "truncated normal (0.392); kernels of Keras start uniform (0.333)"),
        ("a.weight", "uniform (0.333)"),
    ],
)
def test_terminal_and_page_name_the_laws_of_the_start_and_the_form_of_the_gini(
    name, law, tmp_path, capsys
):
    paths, page = [str(tmp_path / f"{i}.safetensors") for i in (1, 2)], tmp_path / "page.html"
    for path in paths:
        save_file({name: DENSE}, path)
    for files in (paths[:1], paths):
        assert run_command(["inspect", *files, "--report", str(page)]) == 0
        terminal = " ".join(capsys.readouterr().out.split())
        assert "Gini index with the factor N/(N - 1)" in terminal
        assert f"usually start from, {law}." in terminal or len(files) > 1
        written = page.read_text(encoding="utf-8")
        assert "Gini index with the factor N/(N - 1)" in written
        assert f"usually start from: {law}." in written


def test_many_layers_with_nan_are_few_warnings_each_with_its_file():
    bad = np.full((2, 2), np.nan)
    params = {"good": {"kernel": DENSE}, **{f"{i}": {"kernel": bad} for i in range(10)}}
    found = inspect_params(params)
    *lines, last = results.warning_lines([found, found])
    assert lines[0] == "Warning: params: 0.kernel holds NaN (4 of 4)"
    assert (len(lines), last) == (8, "Warning: 12 more like these")


@pytest.mark.parametrize("bad", [np.nan, 0.0])
def test_a_network_without_a_number_is_rows_and_warnings(bad, tmp_path, capsys):
    save_file({"a.kernel": np.full((2, 2), bad), "b": np.ones(2)}, tmp_path / "bad.safetensors")
    drawn = ["--report", str(tmp_path / "page.html"), "--figures", str(tmp_path / "figures")]
    assert run_command(["inspect", str(tmp_path / "bad.safetensors"), *drawn]) == 0
    output = capsys.readouterr().out
    assert "Warning: a.kernel holds NaN (4 of 4)" in output or "a.kernel is 0 everywhere" in output
    assert re.search(r"a\.kernel +2 → 2 +– ", output)
    found = inspect_params({"a": {"kernel": np.full((2, 2), bad)}})
    assert "Gini of |w| –; its" in repr(found)


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


def test_the_name_of_a_file_is_not_broken_however_long_it_is(tmp_path, capsys):
    paths = [tmp_path / f"{'a-long name.' * 12}{i}.safetensors" for i in range(2)]
    for path in paths:
        save_file({"a.kernel": DENSE}, path)
    assert run_command(["inspect", str(paths[0])]) == 0
    assert str(paths[0]) in capsys.readouterr().out.splitlines()
    assert run_command(["inspect", *map(str, paths)]) == 0
    assert f"file 2: {paths[1]}" in capsys.readouterr().out.splitlines()


def test_the_numbers_of_many_files_are_all_shown_however_narrow_the_output(tmp_path, capsys):
    paths = [tmp_path / f"{i}.safetensors" for i in range(16)]
    for path in paths:
        save_file({"a.kernel": DENSE}, path)
    assert run_command(["inspect", *map(str, paths)]) == 0
    output = capsys.readouterr().out
    assert all(len(re.findall(rf"\bfile {i}\b", output)) == 2 for i in range(1, 17))
    gini = f"{measure(DENSE)['entries']['gini']:.3f}"
    assert [line.split()[2:] for line in output.splitlines() if " a.kernel " in line] == [
        [gini] * n for n in (5, 5, 5, 1)
    ]


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


@pytest.mark.parametrize("measured", [[True, True, True], [True, False, True]])
def test_of_several_networks_is_said_how_many_the_mean_is_of(measured, tmp_path, capsys):
    kernels = np.stack([DENSE if good else np.full_like(DENSE, np.nan) for good in measured])
    run = {"a/0/kernel": kernels, "a/0/live_inputs": np.ones((3, 6), np.float32)}
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        save_file(run, tmp_path / name / "weights.safetensors")
    assert run_command(["inspect", str(tmp_path / "one")]) == 0
    whose = "3 seeds" if all(measured) else "those of 3 seeds that can be measured"
    output = " ".join(capsys.readouterr().out.split())
    assert f"Mean over {whose}. " in output
    assert "Dead units: constant, or without a weight." in output
    assert run_command(["inspect", str(tmp_path / "one"), str(tmp_path / "two")]) == 0
    assert "about chance" not in capsys.readouterr().out  # of three networks each


def test_the_size_of_each_of_several_networks_is_told(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    paths = group(Path(), "a", 1, 4)
    for i, path in enumerate(paths):
        save_file({"a.kernel": (i + 1) * DENSE, "b.kernel": np.nan * i * DENSE}, path)
    several, page = [*map(str, paths)], str(tmp_path / "page.html")
    for files in (several, ["--baseline", *several[:2], "--against", *several[2:]]):
        assert run_command(["inspect", *files, "--report", page]) == 0
        output = " ".join(capsys.readouterr().out.split())
        for i in range(4):
            norm = (i + 1) * np.linalg.norm(DENSE)
            assert re.search(rf"a{i}\.safetensors: all that are measured 24 {norm:.3g} 0 ", output)
            written = Path(page).read_text(encoding="utf-8")
            assert written.count("<td>all that are measured: 24 weights</td>") == 4
            assert written.count(f">{norm:.4g}</td>") == 2  # of the layer and of the network


def test_the_mean_number_of_dead_units_has_one_decimal(tmp_path, capsys):
    seeds = np.stack([DENSE] * 3)
    seeds[:2, :, 0] = 0
    run = {"a/0/kernel": seeds, "a/0/live_inputs": np.ones((3, 6), np.float32)}
    save_file(run, tmp_path / "weights.safetensors")
    assert run_command(["inspect", str(tmp_path)]) == 0
    sizes = capsys.readouterr().out.partition("dead units")[2]
    assert re.findall(r"([\d.]+) *\n", sizes)[0] == "0.7"


def test_many_dead_units_are_counted_in_full(tmp_path, capsys):
    wide = np.zeros((6, 2_500), np.float32)
    wide[:, :4] = DENSE
    save_file({"a.kernel": wide, "b.kernel": wide}, tmp_path / "net.safetensors")
    page = tmp_path / "page.html"
    given = [str(tmp_path / "net.safetensors"), "--report", str(page)]
    assert run_command(["inspect", *given]) == 0
    output = capsys.readouterr().out
    assert re.findall(r"([\d,]+) *\n", output.partition("dead units")[2])[:3] == ["2,496"] * 2 + [
        "4,992"
    ]
    written = page.read_text(encoding="utf-8")
    assert written.count(">2,496</td>") == 2
    assert "/<wbr>net.safetensors</td>" in written  # the name of a file is not broken
    assert "<td>a.<wbr>kernel</td>" in written
    for text in (output, written):  # constant ones are known of runs alone
        assert "Dead units: without a weight." in " ".join(text.split())


WHOLE = RNG.integers(-9, 10, (30, 20)).astype(float)  # exact in every type, at every scale below
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


@pytest.mark.slow
@pytest.mark.parametrize("shape", [(9, 5), (7, 300)])
def test_units_measured_in_blocks_are_those_measured_at_once(shape, tmp_path):
    kernel = RNG.laplace(size=shape).astype(np.float32)
    inputs, outputs = RNG.random(shape[0]) < 0.9, RNG.random(shape[1]) < 0.7
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


def test_units_of_one_input_have_no_spread_and_a_dash(tmp_path, capsys):
    found = measure(DENSE[:1])
    assert np.isfinite(found["entries"]["gini"])
    assert np.isnan(found["columns"]["gini"])
    paths = group(tmp_path, "a", 1, 4)
    for path in paths:
        save_file({"a.kernel": DENSE, "thin.kernel": DENSE[:1]}, path)
    assert run_command(["inspect", str(paths[0])]) == 0
    output = capsys.readouterr().out
    assert "nan" not in output
    assert "–" in output
    files = [inspect(path) for path in paths]
    rows = compare_groups(files[:2], files[2:], paired=False)
    rows = [row for row in rows if not np.isnan(row["difference"])]
    assert {(row["layer"], row["view"]) for row in rows} == {
        ("a.kernel", "entries"),
        ("a.kernel", "columns"),
        ("thin.kernel", "entries"),
    }
    assert all(np.isfinite(row["p_adjusted"]) for row in rows)


@pytest.mark.slow
@pytest.mark.parametrize("write", [save_file, lambda flat, path: np.savez(path, **flat)])
def test_memory_is_bounded_by_a_layer_not_by_the_file(write, tmp_path):
    kernel = RNG.normal(size=(384, 384)).astype(np.float32)
    n_layers = 24
    name = "many.safetensors" if write is save_file else "many.npz"
    write({f"{i}.kernel": kernel for i in range(n_layers)}, tmp_path / name)
    measure(kernel)  # what is compiled stays
    with memory_below(8 * kernel.nbytes):
        found = inspect(tmp_path / name)
    assert len(found.layers) == n_layers


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_weights_that_are_damaged_are_an_error_in_one_line(save, tmp_path, capsys):
    path = tmp_path / "flipped.npz"
    save(path, **{"a.kernel": RNG.normal(size=(300, 200)).astype(np.float32)})
    raw = bytearray(path.read_bytes())
    raw[len(raw) // 2] ^= 255  # past the header, which is sound
    path.write_bytes(raw)
    assert run_command(["inspect", str(path)]) == 2
    (output,) = capsys.readouterr().err.splitlines()
    assert "a.kernel cannot be read" in output
    assert "Bad CRC-32" in output or "Error -3" in output


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


def group(folder, name, scale, n):
    paths = []
    for i in range(n):
        rng = np.random.default_rng(100 * scale + i)
        weights = rng.normal(size=(40, 30)) * rng.gamma(scale, size=(40, 30))
        paths.append(folder / f"{name}{i}.safetensors")
        save_file({"a.kernel": weights, f"only_{name}.kernel": DENSE}, paths[-1])
    return paths


@pytest.mark.slow
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


def test_groups_too_small_to_show_anything_say_so_and_how_many_files_are_enough(tmp_path, capsys):
    a, b = group(tmp_path, "a", 1, 6), group(tmp_path, "b", 30, 6)
    for n, pairs, said in (
        ((3, 3), [], "With 3 and 3 files the smallest p is 0.1, so no direction can be"),
        ((2, 4), [], "With 2 and 4 files the smallest p is 0.067"),
        ((2, 5), [], None),
        ((4, 4), [], None),
        ((5, 5), ["--paired"], "With 5 pairs of files the smallest p is 0.062"),
        ((6, 6), ["--paired"], None),
    ):
        paths = ["--baseline", *map(str, a[: n[0]]), "--against", *map(str, b[: n[1]])]
        assert run_command(["inspect", *paths, *pairs]) == 0
        out = capsys.readouterr().out
        assert not said or said in out
        assert ("no direction can be decided: take" in out) == bool(said), n
        assert ("more uniform" in out) == (not said), n


def test_a_layer_without_a_number_in_one_file_is_a_row_and_changes_no_other(tmp_path, capsys):
    paths = group(tmp_path, "a", 1, 4)
    for i, path in enumerate(paths):
        bad = np.full((2, 2), np.nan if i == 3 else 1.0)
        save_file({"a.kernel": DENSE + i, "b.kernel": bad}, path)
    groups = ["--baseline", *map(str, paths[:2]), "--against", *map(str, paths[2:])]
    assert run_command(["inspect", *groups, "--report", str(tmp_path / "page.html")]) == 0
    output = capsys.readouterr().out
    assert f"Warning: {paths[3]}: b.kernel holds NaN (4 of 4)\n" in output
    assert re.search(r"b\.kernel +all +– +– +– \[–, –\] +– +undecided", output)
    assert "adjusted over 2 comparisons" in " ".join(output.split())
    page = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert "b.kernel all weights none, undecided" in page
    assert "nan" not in re.sub("data-value=.nan.", "", page)
    for path in paths:
        save_file({"a.kernel": DENSE + paths.index(path)}, path)
    assert run_command(["inspect", *groups]) == 0
    alone = capsys.readouterr().out.splitlines()
    assert all(line in output.splitlines() for line in alone if re.match(" +(a.kernel|unit)", line))


@pytest.mark.parametrize("paired", [False, True])
def test_groups_of_nan_alone_are_rows_without_numbers(paired):
    files = [inspect_params({"a": {"w": np.nan * DENSE}}) for _ in range(4)]
    for row in compare_groups(files[:2], files[2:], paired):
        assert row["verdict"] == "undecided"
        assert np.isnan([row["difference"], row["p_adjusted"]]).all()


def test_layers_of_one_name_and_several_shapes_are_remarked(tmp_path, capsys):
    save_file({"a.kernel": DENSE, "b.kernel": DENSE}, tmp_path / "one.safetensors")
    save_file({"a.kernel": DENSE[:, :3], "b.kernel": DENSE}, tmp_path / "two.safetensors")
    both = [str(path) for path in sorted(tmp_path.iterdir())]
    page = tmp_path / "page.html"
    assert run_command(["inspect", *both, "--report", str(page)]) == 0
    line = "Layers of the same name differ in shape: a.kernel is 6 → 4, 6 → 3."
    assert line in capsys.readouterr().out.splitlines()
    assert line in page.read_text(encoding="utf-8")
    shutil.copy(both[0], tmp_path / "same.safetensors")
    assert run_command(["inspect", both[0], str(tmp_path / "same.safetensors")]) == 0
    assert "other shapes" not in capsys.readouterr().out


def test_the_command_shows_one_file_two_and_groups(tmp_path, capsys):
    a, b = group(tmp_path, "a", 1, 5), group(tmp_path, "b", 30, 5)
    assert run_command(["inspect", str(a[0])]) == 0
    output = capsys.readouterr().out
    assert "a.kernel" in output
    assert "40 → 30" in output
    assert f"{references()['truncated normal']['gini']:.3f}" in output
    assert run_command(["inspect", str(a[0]), str(b[0])]) == 0
    assert "difference" in capsys.readouterr().out
    table = tmp_path / "new" / "numbers.csv"
    assert run_command(["inspect", str(a[0]), str(b[0]), "--csv", str(table)]) == 0
    rows = table.read_text(encoding="utf-8").splitlines()
    assert rows[0] == "file,seed,layer,view,measure,value"
    assert len(rows) == 1 + 2 * 2 * (3 * 6 + 5)  # files, layers, views, measures, sizes
    capsys.readouterr()
    groups = ["--baseline", *map(str, a), "--against", *map(str, b)]
    assert run_command(["inspect", *groups, "--csv", str(table)]) == 0
    output = capsys.readouterr().out
    assert output.endswith(f"\nTable: {table}\n")
    assert "more uniform" in output
    assert "5 and 5 files" in output
    assert "factor N/(N - 1)" in " ".join(output.split())
    unshared = next(line for line in output.splitlines() if "not in all files" in line)
    assert "only_a.kernel" in unshared
    assert "only_b.kernel" in unshared
    with table.open(encoding="utf-8", newline="") as file:
        changes = list(csv.DictReader(file))
    assert len(changes) == 2 * 6  # views and measures of the layer in common
    assert float(changes[0]["ci_low"]) <= float(changes[0]["difference"])


def test_the_command_draws_one_file_several_and_groups_and_says_where(
    tmp_path, capsys, monkeypatch
):
    written = []
    monkeypatch.setattr(figures, "write_figure", lambda *given: written.append(given[:2]))
    a, b = group(tmp_path, "a", 1, 3), group(tmp_path, "b", 30, 3)
    groups = ["--baseline", *map(str, a), "--against", *map(str, b)]
    for given, n_drawn in ([str(a[0])], 3), ([str(a[0]), str(b[0])], 3), (groups, 4):
        out = tmp_path / f"out{len(given)}"
        drawn = ["--report", str(out / "page.html"), "--figures", str(out / "figures")]
        assert run_command(["inspect", *given, *drawn]) == 0
        last = f"\nFigures: {out / 'figures'}\nTo look at: {out / 'page.html'}\n"
        assert capsys.readouterr().out.endswith(last)
        assert len({name for folder, name in written if folder == out / "figures"}) == n_drawn
        page = (out / "page.html").read_text(encoding="utf-8")
        assert "a.kernel: Lorenz curve" in page
        unshared = '<th scope="row">only_a.kernel</th><td>not in all files</td>'
        assert (unshared in page) == (given == groups)


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


@pytest.mark.parametrize(
    ("summary", "said"),
    [
        (
            '{"layers": ["Conv_0.kernel", "Dense_0.kernel"]}',
            ["Layer 0 is Conv_0.kernel, layer 1 is"],
        ),
        ('{"conditions": {}}', []),
        ('{"layers": 2}', []),
        ("{", []),
    ],
)
def test_a_run_of_another_network_names_its_layers(summary, said, tmp_path, capsys):
    run = {"none/0/kernel": np.stack([DENSE, DENSE]), "none/0/live_inputs": np.ones((2, 6))}
    save_file(run, tmp_path / "weights.safetensors")
    (tmp_path / "summary.json").write_text(summary)
    assert run_command(["inspect", str(tmp_path)]) == 0
    assert re.findall("Layer 0 is .*, layer 1 is", capsys.readouterr().out) == said
    other, last = (shutil.copytree(tmp_path, tmp_path / name) for name in ("other", "last"))
    (last / "summary.json").write_text('{"layers": ["b", "a"]}')
    assert run_command(["inspect", str(tmp_path), str(other), str(last)]) == 0
    lines = [line for line in capsys.readouterr().out.splitlines() if "Layer 0 is" in line]
    first = f": {said[0]} Dense_0.kernel" if said else None
    expected = [f"{path}{first}" for path in (tmp_path, other) if first]
    assert lines == [*expected, f"{last}: Layer 0 is b, layer 1 is a"]


def test_the_folder_that_one_is_in_has_a_name_on_the_page(tmp_path, monkeypatch):
    (tmp_path / "model").mkdir()
    save_file({"a.kernel": DENSE}, tmp_path / "model" / "model.safetensors")
    monkeypatch.chdir(tmp_path / "model")
    assert run_command(["inspect", ".", "--report", "page.html"]) == 0
    assert "<b>model</b>: ." in Path("page.html").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ("", "give files, or --baseline and --against, got nothing"),
        ("x --baseline y", "got both"),
        ("--baseline x --against y", "two files or more, got 1 and 1"),
        ("--baseline x y --against a b c --paired", "equal size, got 2 and 3"),
        ("x --paired", "--paired must come with --baseline and --against, got files alone"),
        ("x y ./x", "each file must be named once, got x again"),
        ("run run/weights.safetensors", "named once, got run/weights.safetensors again"),
        (
            "x --csv o.txt --report ./o.txt",
            "each file to write must be named once, got o.txt again",
        ),
        ("--baseline a b --against c linked_to_b", "named once, got linked_to_b again"),
        ("absent.npz", "not there"),
        ("x --layout inout", "'inout' for argument '--layout'. Expected one of in-out, out-in."),
        ("x --report .", "a file must be written to a new name or over a file"),
        ("x --figures taken", "a folder must be given to write to, got the file taken"),
        ("x --report taken/below/page.html", "must be given to write to, got the file taken"),
    ],
)
def test_bad_input_is_refused_in_one_line(line, why, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "taken").touch()
    (tmp_path / "linked_to_b").symlink_to("b")
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "weights.safetensors").touch()
    assert run_command(["inspect", *line.split()]) == 2
    output = capsys.readouterr()
    assert output.out == ""
    (line,) = output.err.splitlines()
    assert line.startswith("dropout-jax: ")
    assert why in line


HOSTILE = "a\x1b[2J\n\u202e\u200f\x9b\udcff"


def assert_harmless(said):
    assert all(c.isprintable() or c == "\n" for c in said)


@pytest.mark.parametrize("n_files", [1, 2, 4])
def test_names_of_files_and_tensors_reach_the_terminal_escaped(n_files, tmp_path, capsys):
    paths = [tmp_path / f"{HOSTILE}{i}.safetensors" for i in range(n_files)]
    for path in paths:
        name = HOSTILE[:-1]  # a file of tensors is UTF-8
        save_file({f"{name}.kernel": DENSE, f"{name}.bias": BIAS}, tmp_path / "plain.safetensors")
        (tmp_path / "plain.safetensors").rename(path)
    files = list(map(str, paths))
    groups = ["--baseline", *files[:2], "--against", *files[2:]] if n_files == 4 else files
    table = tmp_path / f"{HOSTILE}.csv"
    assert run_command(["inspect", *groups, "--csv", str(table)]) == 0
    output = capsys.readouterr()
    assert_harmless(output.out + output.err)
    assert r"a\x1b[2J\n\u202e\u200f\x9b" in output.out.replace("\n", "").replace(" ", "")
    with table.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert {row["layer"] for row in rows} == {f"{HOSTILE[:-1]}.kernel"}
    if n_files < 4:
        assert {row["file"].encode() for row in rows} == {
            str(path).encode("utf-8", "backslashreplace") for path in paths
        }


@pytest.mark.parametrize(
    "line", ["inspect {}.npz", "compare --dataset {}", "inspect x --layout {}"]
)
def test_names_in_errors_reach_the_terminal_escaped(line, capsys):
    assert run_command([word.format(HOSTILE) for word in line.split()]) == 2
    output = capsys.readouterr().err
    assert_harmless(output)
    assert len(output.splitlines()) == 1


def test_a_name_of_a_condition_reaches_the_terminal_escaped(tmp_path, capsys):
    (tmp_path / "c.toml").write_text('["a\\u001b[2J\\u202e"]\nrates = true')
    assert run_command(["train", "--conditions", str(tmp_path / "c.toml")]) == 2
    output = capsys.readouterr().err
    assert_harmless(output)
    assert r"condition a\x1b[2J\u202e must be given" in output


def test_a_table_is_never_written_over_what_is_read_nor_over_what_is_no_file(tmp_path, monkeypatch):
    (path,) = group(tmp_path, "a", 1, 1)
    (tmp_path / "link.csv").symlink_to(path)
    os.link(path, tmp_path / "hard.csv")
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "run").mkdir()
    save_file({"a.kernel": DENSE}, tmp_path / "run" / "weights.safetensors")
    nnx_orbax(tmp_path)
    inside = next((tmp_path / "nnx").rglob("_METADATA"))
    (tmp_path / "model").mkdir()
    save_file({"a.kernel": DENSE}, tmp_path / "model" / "1.safetensors")
    index = tmp_path / "model" / "model.safetensors.index.json"
    index.write_text(json.dumps({"weight_map": {"a.kernel": "1.safetensors"}}))

    def measured(*_, **__):
        pytest.fail("measured in vain")

    monkeypatch.setattr(measures, "inspect", measured)
    for read, table in (
        (path, path),
        (path, tmp_path / "link.csv"),
        (path, tmp_path / "hard.csv"),
        (path, tmp_path / "run"),
        (path, tmp_path / "pipe"),
        (tmp_path / "run", tmp_path / "run" / "weights.safetensors"),
        (tmp_path / "nnx", inside),
        (index, index),
        (tmp_path / "model", tmp_path / "model" / "1.safetensors"),
    ):
        before = table.lstat()
        assert run_command(["inspect", str(read), "--csv", str(table)]) == 2, table
        assert table.lstat().st_ino == before.st_ino


@pytest.mark.parametrize("write", [save_file, lambda flat, path: np.savez(path, **flat)])
def test_no_warning_but_the_line_of_a_layer_is_told(write, tmp_path, capsys):
    path = tmp_path / ("wild.safetensors" if write is save_file else "wild.npz")
    write({"a.kernel": np.array([[1e300, np.nan], [-np.inf, 1]])}, path)
    with warnings.catch_warnings(record=True, action="always") as told:
        assert run_command(["inspect", str(path)]) == 0
    assert told == []
    output = capsys.readouterr()
    assert output.out.startswith("Warning: a.kernel holds NaN (1 of 4)\n")
    assert output.err == ""


def test_layers_of_many_shapes_share_few_compiled_programs():
    shapes = [(2, 3), (9, 5), (30, 60), (64, 300)]
    for shape in shapes:  # one size of inputs, two of weights
        measure(RNG.laplace(size=shape).astype(np.float32))
    programs: list[Any] = [
        spread._measure_entries,
        spread._measure_units,
    ]  # Any: what jit returns has more
    compiled = [of._cache_size() for of in programs]
    for n_in, n_out in shapes:
        measure(RNG.laplace(size=(n_in - 1, n_out + 1)).astype(np.float32))
    assert [of._cache_size() for of in programs] == compiled


@hypothesis.given(st.integers(0, 10**9), st.sampled_from([1, 64, 1 << 14]))
def test_what_is_filled_up_grows_by_a_quarter_at_most_and_to_few_sizes(n, least):
    size = spread._padded_size(n, least)
    assert size % least == 0
    assert n <= size <= max(least, n + max(least, n / 4))
    assert spread._padded_size(size, least) == size  # so that it is one of few
