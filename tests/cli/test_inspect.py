"""The command that inspects files: what it prints, draws and writes, and what it refuses."""

import csv
import json
import os
import re
import shutil
import warnings
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from dropout_jax.cli.file_tables import inspect_lines
from dropout_jax.cli.main import run_command
from dropout_jax.inspection import measures
from dropout_jax.inspection.groups import compare_groups
from dropout_jax.inspection.laws import references
from dropout_jax.inspection.measures import inspect, inspect_params
from dropout_jax.inspection.spread import measure
from dropout_jax.io import figures
from tests.inspection.toys import BIAS, DENSE, group, nnx_orbax


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


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_weights_that_are_damaged_are_an_error_in_one_line(save, tmp_path, capsys):
    path = tmp_path / "flipped.npz"
    save(path, **{"a.kernel": np.random.default_rng(0).normal(size=(300, 200)).astype(np.float32)})
    raw = bytearray(path.read_bytes())
    raw[len(raw) // 2] ^= 255  # past the header, which is sound
    path.write_bytes(raw)
    assert run_command(["inspect", str(path)]) == 2
    (output,) = capsys.readouterr().err.splitlines()
    assert "a.kernel cannot be read" in output
    assert "Bad CRC-32" in output or "Error -3" in output


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
