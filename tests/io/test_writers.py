import csv
import json
import os
import platform
import shutil
import tempfile
from pathlib import Path

import jax
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.figure import Figure
from safetensors.numpy import load_file

from dropout_jax.io import figures, writers
from dropout_jax.io.environment import environment as environment_of
from dropout_jax.io.environment import n_cores


def names_in(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


def pretend(monkeypatch, path, text):
    """Make one file of the system hold the text."""
    read_text = Path.read_text

    def read(self, **how):
        return text if self == Path(path) else read_text(self, **how)

    monkeypatch.setattr(Path, "read_text", read)


def watched(before):
    """An array that calls `before` when its rows are about to be written."""

    class Watched(np.ndarray):
        def __iter__(self):
            before()
            return iter(np.asarray(self))

    return np.ones(2, np.float32).view(Watched)


def test_a_save_that_fails_leaves_the_old_file_and_no_part_of_the_new(tmp_path):
    path = tmp_path / "weights.safetensors"
    writers.write_tensors(path, {"old": np.ones(2, np.float32)})

    def run_out_of_space():
        temporary, there = names_in(tmp_path)
        assert (temporary[0], there) == (".", path.name)
        raise OSError("No space left on device")

    with pytest.raises(OSError, match="No space"):
        writers.write_tensors(path, {"new": watched(run_out_of_space)})
    assert names_in(tmp_path) == [path.name]
    assert list(load_file(path)) == ["old"]


def test_a_file_appears_under_its_name_only_when_it_is_whole(tmp_path):
    looks = []
    tensor = watched(lambda: looks.append((tmp_path / "w").exists()))
    writers.write_tensors(tmp_path / "w", {"t": tensor})
    assert looks == [False]
    assert names_in(tmp_path) == ["w"]


def test_two_that_write_one_file_at_once_leave_a_whole_one(tmp_path):
    path = tmp_path / "w"
    other = {"other": np.ones(3, np.float32)}
    tensor = watched(lambda: writers.write_tensors(path, other))
    writers.write_tensors(path, {"t": tensor})
    assert list(load_file(path)) == ["t"]
    assert names_in(tmp_path) == ["w"]


def test_a_temporary_file_is_made_anew_and_through_no_link(tmp_path, monkeypatch):
    (tmp_path / "of_others").write_text("theirs")
    monkeypatch.setattr(writers.secrets, "token_hex", lambda _: "guessed")
    for old in (".a.csv.partial", ".guessed.partial"):
        (tmp_path / old).symlink_to(tmp_path / "of_others")
    with pytest.raises(FileExistsError):
        writers.write_table(tmp_path / "a.csv", (), [])
    assert (tmp_path / "of_others").read_text() == "theirs"


def test_what_is_interrupted_leaves_no_temporary_file(tmp_path):
    def rows():
        yield ("a",)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        writers.write_table(tmp_path / "a.csv", (), rows())
    assert names_in(tmp_path) == []


def test_a_file_is_as_readable_as_others_of_its_user(tmp_path):
    (tmp_path / "usual").touch()
    writers.write_text(tmp_path / "a", "")
    assert (tmp_path / "a").stat().st_mode == (tmp_path / "usual").stat().st_mode


WRITERS = {
    "text": lambda path: writers.write_text(path, "new"),
    "json": lambda path: writers.write_json(path, "new"),
    "table": lambda path: writers.write_table(path, ("new",), []),
    "tensors": lambda path: writers.write_tensors(path, {"new": np.ones(1, np.float32)}),
    "figure": lambda path: figures.write_figure(path.parent, path.stem, Figure((1, 1)), ["png"]),
}


@pytest.mark.parametrize("write", WRITERS)
def test_links_folders_and_pipes_are_never_replaced(write, tmp_path):
    (tmp_path / "theirs").write_text("theirs")
    path = tmp_path / "at.png"
    makers = {
        "link": lambda: path.symlink_to(tmp_path / "theirs"),
        "link to": lambda: path.symlink_to(tmp_path / "nowhere"),
        "folder": lambda: path.mkdir(),
        "device": lambda: os.mkfifo(path),
    }
    for kind, make in makers.items():
        make()
        before = names_in(tmp_path), path.lstat().st_ino
        with pytest.raises(FileExistsError, match=f"new name or over a file, got the {kind[:4]}"):
            WRITERS[write](path)
        assert (names_in(tmp_path), path.lstat().st_ino) == before
        path.rmdir() if kind == "folder" else path.unlink()
    assert (tmp_path / "theirs").read_text() == "theirs"
    WRITERS[write](path)
    WRITERS[write](path)  # over a file
    assert path.is_file()


def test_cells_that_a_spreadsheet_would_run_are_text_and_numbers_stay_numbers(tmp_path):
    rows = [(f"{sign}1+1", -1.5, "a=b", "") for sign in "=+-@\t\r\n"]
    writers.write_table(tmp_path / "t.csv", ("name", "value", "other", "none"), rows)
    with (tmp_path / "t.csv").open(encoding="utf-8", newline="") as file:
        _, *read = csv.reader(file)
    of_names = ["'=1+1", "'+1+1", "'-1+1", "'@1+1", "'\t1+1", "\\r1+1", "\n1+1"]
    assert read == [[name, "-1.5", "a=b", ""] for name in of_names]


def test_names_that_are_no_unicode_are_written_to_a_table_escaped(tmp_path):
    path = tmp_path / "\udcff.csv"
    writers.write_table(path, ("file",), [("\udcfe.npz",)])
    assert path.read_text("utf-8").split() == ["file", "\\udcfe.npz"]


def test_scratch_arrays_have_no_name_and_keep_what_is_written(tmp_path):
    allocate = writers.scratch(tmp_path)
    arrays = [allocate((3, 4), np.dtype(np.float32)), allocate((2,), np.dtype(bool))]
    for array in arrays:
        array[...] = np.arange(array.size).reshape(array.shape) % 2
    assert names_in(tmp_path) == []
    np.testing.assert_array_equal(arrays[0].ravel(), [0, 1] * 6)
    np.testing.assert_array_equal(arrays[1], [False, True])


def test_scratch_arrays_for_which_there_is_no_room_are_refused_and_fill_no_disk(
    tmp_path, monkeypatch
):
    monkeypatch.delattr(tempfile, "TemporaryFile")  # nothing is begun
    room = 2 * shutil.disk_usage(tmp_path).total
    with pytest.raises(OSError, match=f"No space for {room:,} bytes: "):
        writers.scratch(tmp_path)((room,), np.dtype(bool))


def test_numbers_that_json_does_not_know_become_null(tmp_path):
    value = {"a": [float("nan"), 1.5, {"b": (float("inf"), -float("inf"))}], 3: "½ µ", "none": None}
    writers.write_json(tmp_path / "v.json", value)
    text = (tmp_path / "v.json").read_text(encoding="utf-8")
    expected = {"a": [None, 1.5, {"b": [None, None]}], "3": "½ µ", "none": None}
    assert json.loads(text, parse_constant=pytest.fail) == expected
    assert text.endswith("}\n")
    assert "½ µ" in text


def test_a_table_keeps_all_digits(tmp_path):
    values = [0.1 + 0.2, 1 / 3, 1e-300]
    writers.write_table(tmp_path / "t.csv", ("name", "value"), (("a,b", v) for v in values))
    header, *lines = (tmp_path / "t.csv").read_bytes().decode().split("\n")
    assert header == "name,value"
    assert [line.partition('"a,b",')[2] for line in lines] == [*map(repr, values), ""]


def test_tensors_are_written_as_they_look_not_as_they_lie_in_memory(tmp_path):
    transposed = np.arange(6, dtype=np.float32).reshape(2, 3).T
    writers.write_tensors(tmp_path / "w", {"t": transposed, "mask": transposed > 2})
    loaded = load_file(tmp_path / "w")
    np.testing.assert_array_equal(loaded["t"], transposed)
    np.testing.assert_array_equal(loaded["mask"], transposed > 2)


def test_one_figure_gives_the_same_bytes_each_time(tmp_path):
    for folder in ("first", "again"):
        figure = Figure(figsize=(2, 2))
        axes = figure.subplots()
        axes.fill_between([0, 1], [0, 1], label="clip paths and markers have ids in an SVG")
        axes.plot([0, 1], marker="o")
        figures.write_figure(tmp_path / folder, "f", figure)
    for suffix, start in ((".png", b"\x89PNG"), (".svg", b"<?xml")):
        first, again = (
            (tmp_path / name / f"f{suffix}").read_bytes() for name in ("first", "again")
        )
        assert first.startswith(start)
        assert first == again
    assert names_in(tmp_path / "first") == ["f.png", "f.svg"]


def test_the_environment_names_versions_devices_and_generator():
    found = environment_of(jax.random.key(0, impl="philox2x32"))
    assert found["versions"]["jax"] == jax.__version__
    assert set(found["versions"]) >= {"dropout_jax", "jax", "jaxlib", "flax", "optax", "numpy"}
    assert len(found["devices"]) == len(jax.devices())
    assert found["prng"] == "philox2x32"
    assert found["vector_bits"] in (None, 128, 256, 512)


@pytest.mark.parametrize(
    ("info", "machine", "vector_bits"),
    [
        (
            "cpu family : 25\nmodel : 17\nmodel name : AMD EPYC\nflags : sse2 avx2 avx512f\n"
            "\ncpu family : 6\nmodel : 1\nmodel name : other\n",
            "AMD EPYC (family 25, model 17)",
            512,
        ),
        ("processor : 0\nFeatures : fp asimd\n", platform.processor() or platform.machine(), 128),
    ],
)
def test_a_processor_is_told_from_another_of_the_same_name(info, machine, vector_bits, monkeypatch):
    pretend(monkeypatch, "/proc/cpuinfo", info)
    found = environment_of(jax.random.key(0))
    assert found["machine"] == f"{machine}, {os.cpu_count()} cores"
    assert found["vector_bits"] == vector_bits


@pytest.mark.parametrize(
    ("quota", "expected"),
    [("max 100000\n", 8), ("250000 100000\n", 2), ("50000 100000\n", 1), ("9000000 100000\n", 8)],
)
def test_a_process_uses_no_more_cores_than_the_quota_of_its_container(quota, expected, monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(8)), raising=False)
    pretend(monkeypatch, "/sys/fs/cgroup/cpu.max", quota)
    assert n_cores() == expected


@pytest.mark.parametrize("tensor", [np.zeros(2), np.zeros((), np.float32), np.zeros(2, ">f4")])
def test_tensors_of_another_kind_are_refused_and_nothing_is_written(tensor, tmp_path):
    with pytest.raises(ValueError, match="a must be an array of float32 or bool, got"):
        writers.write_tensors(tmp_path / "weights.safetensors", {"a": tensor})
    assert not list(tmp_path.iterdir())


def test_text_that_is_no_unicode_is_written_escaped(tmp_path):
    writers.write_json(tmp_path / "config.json", {"dataset": "\udcff.npz"})
    assert json.loads((tmp_path / "config.json").read_text("utf-8")) == {"dataset": "\udcff.npz"}


@given(name=st.text(st.characters(categories=["L", "Cs", "Cc", "P"])))
def test_whatever_a_file_is_called_can_be_written_down(name, tmp_path_factory):
    path = tmp_path_factory.getbasetemp() / "config.json"
    writers.write_json(path, {"dataset": name})
    assert json.loads(path.read_text("utf-8")) == {"dataset": name}
