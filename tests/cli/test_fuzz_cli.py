"""Hundreds of argument lists and data files: status 0 or 2, one line for 2, and nothing left over.

Every command runs in this process, up to where it would train.
"""

import contextlib
import gzip
import io
import os
import pickle
import tracemalloc
import zipfile
import zlib
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from dropout_jax import data
from dropout_jax.cli import run_tables
from dropout_jax.cli.main import run_command
from dropout_jax.io import readers
from dropout_jax.populations import population
from dropout_jax.runs import folder, write
from dropout_jax.runs import run as runs
from dropout_jax.runs.run import Run
from tests.memory import memory_below

jax.devices()  # conftest's devices start before the command asks for one per core

EXAMPLES = int(os.environ.get("FUZZ_EXAMPLES", "80"))  # of each of the five long tests
IDX = ("train-images-idx3", "train-labels-idx1", "t10k-images-idx3", "t10k-labels-idx1")
fuzzed = settings(max_examples=EXAMPLES)


class TrainingBegunError(Exception):
    """All input was let in."""


@pytest.fixture(scope="module", autouse=True)
def place(tmp_path_factory):
    """A working directory, and a command that has trained as soon as it would begin to."""
    nothing: Any = None
    done = Run(nothing, {}, [], nothing, nothing, {"conditions": {}}, {}, False, "")
    digits = data.load_dataset("digits")
    load, compare = data.load_dataset, runs.compare

    def begin(*_):
        raise TrainingBegunError

    def run_until_training(*args, **kwargs):
        with contextlib.suppress(TrainingBegunError):
            compare(*args, **kwargs)
        return done

    def load_no_large_one(name, data_dir=None):
        return digits if name in ("digits", "mnist5k") else load(name, data_dir)

    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path_factory.mktemp("place"))
        patch.setattr(runs, "compare", run_until_training)
        patch.setattr(runs, "compile_measures", lambda *_: None)  # nothing is to be measured
        patch.setattr(population, "make_store", begin)
        patch.setattr(write, "write", lambda *_: None)
        patch.setattr(run_tables, "result_lines", lambda *_: [])
        patch.setattr(data, "load_dataset", load_no_large_one)
        patch.setattr(data, "_fetch_openml", lambda name: load("digits"))
        yield Path.cwd()


def tree():
    return {path: path.is_file() and path.read_bytes() for path in sorted(Path().rglob("*"))}


def run(*argv):
    """The status; 0 or 2, with one line for 2 and no more than a trace of a bar for 0."""
    out, err = io.StringIO(), io.StringIO()
    before = tree()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        status = run_command(list(argv))
    assert status in (0, 2)
    left = [path for path in tree() if path not in before]
    files = [path for path in left if path.is_file()]
    assert {path.name for path in files} <= {folder.MARK, folder.LOCK}, "files of a run were left"
    for path in reversed(left if status == 0 else []):  # where its folder was to be
        path.unlink() if path in files else path.rmdir()
    assert tree() == before, "something was left"
    assert "Traceback" not in out.getvalue() + err.getvalue()
    if status == 2:
        assert out.getvalue() == ""
        output = err.getvalue()
        assert output.startswith("dropout-jax: ")
        assert len(output) > len("dropout-jax: \n")
        assert output.endswith("\n")
        assert output.count("\n") == len(output.splitlines()) == 1, output
    return status


# Arguments

NUMBERS = ["1", "2", "0", "-1", "3", "1.5", "nan", "inf", "-inf", "1e400", "1e-400", "0x10", "1_0"]
NUMBERS += ["", " ", "ten", "½", "١", "9" * 30, "9" * 5000, "2147483648", "-", "--", "None", "1,2"]
WORDS = ["digits", "nope", "x.npz", ".npz", "/", ".", "\n", "a\nb", "\x1b[31m", "é", "\udcff.npz"]
WORDS += ["x" * 300, "mnist", "[red]", "%s", "{}", "~"]
OPTIONS = ["features", "rates", "weight-decay", "seeds", "epochs", "batch-size", "learning-rate"]
OPTIONS += ["momentum", "memory", "checkpoint-seconds", "dataset", "data-dir", "out", "resume"]
OPTIONS += [
    "condition",
    "conditions",
    "overwrite",
    "no-resume",
    "help",
    "rate",
    "sed",
    "unknown",
    "",
    "-",
]
STARTS = [["compare", "--dataset", "digits"], ["train", "--dataset", "digits"], ["compare"], []]
STARTS += [["contrast"], ["train"]]
values = st.sampled_from(NUMBERS + WORDS) | st.text(max_size=4) | st.floats().map(str)
options = st.tuples(st.sampled_from(OPTIONS), st.lists(values, max_size=3)).map(
    lambda option: [f"--{option[0]}", *option[1]]
)
good = st.sampled_from(
    [
        ["--seeds", "2"],
        ["--epochs", "7"],
        ["--features", "8", "--rates", "0", "0.5"],
        ["--momentum", "0"],
        ["--out", "new"],
        ["--batch-size", "1437"],
        ["--memory", "1"],
        ["--overwrite"],
        ["--condition", "a", "rates=0,.5,.5"],
        ["--condition", "b", "max_norm=2", "momentum=0"],
    ]
)


@given(
    options=st.lists(options | good, max_size=4),
    start=st.sampled_from(STARTS),
)
@fuzzed
@example(options=[["--epochs", "9" * 30]], start=["compare"])
@example(options=[["--seeds", "9" * 30]], start=["compare"])
@example(options=[["--features", "9" * 30, "--rates", "0", "0"]], start=["compare"])
@example(options=[["--features", "1" * 3000, "--rates", "0", "0"]], start=["compare"])
@example(options=[["--dataset", "\udcff.npz"]], start=["compare"])
@example(options=[["--out", "\udcff"]], start=["compare"])
@example(options=[["--out", "a\0b"]], start=["compare"])
def test_any_arguments_end_in_training_or_in_one_line(options, start):
    run(*start, *(word for option in options for word in option))


@given(name=st.sampled_from(OPTIONS[:10]), number=st.sampled_from(NUMBERS))
@fuzzed
def test_one_odd_number_ends_in_training_or_in_one_line(name, number):
    run("compare", "--dataset", "digits", f"--{name}", number)


def test_what_is_right_reaches_training():
    for argv in ([], ["--features", "8", "--rates", "0", "0.5"], ["--out", "new"]):
        assert run("compare", "--dataset", "digits", *argv) == 0


# Data files


def npy(array):
    file = io.BytesIO()
    np.save(file, array)
    return file.getvalue()


def zipped(compression=zipfile.ZIP_STORED, **members):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", compression) as archive:
        for name, content in members.items():
            archive.writestr(f"{name}.npy", content)
    return file.getvalue()


def idx(array):
    sizes = np.array(array.shape, ">i4").tobytes()
    return bytes([0, 0, 8, array.ndim]) + sizes + array.astype(np.uint8).tobytes()


N = 150
X = (np.arange(N * 6) % 7).reshape(N, 6).astype(np.float32) / 7
Y = np.arange(N) % 3
PIXELS, LABELS = (X * 255).astype(np.uint8).reshape(N, 2, 3), Y.astype(np.uint8)


def on_npz(content):
    Path("data.npz").write_bytes(content)
    try:
        return run("compare", "--dataset", "data.npz", "--batch-size", "16")
    finally:
        Path("data.npz").unlink()


def on_idx(contents, suffix=""):
    """The status for four files; a content of None is a folder of that name."""
    folder = Path("idx")
    folder.mkdir()
    try:
        for stem, content in zip(IDX, contents, strict=True):
            path = folder / f"{stem}-ubyte{suffix}"
            path.mkdir() if content is None else path.write_bytes(content)
        return run("compare", "--dataset", "mnist", "--data-dir", "idx", "--batch-size", "16")
    finally:
        for path in folder.iterdir():
            path.rmdir() if path.is_dir() else path.unlink()
        folder.rmdir()


SOUND = [idx(PIXELS), idx(LABELS)] * 2


@pytest.mark.parametrize("suffix", ["", ".gz"])
def test_sound_files_reach_training(suffix):
    pack = gzip.compress if suffix else bytes
    assert on_idx(list(map(pack, SOUND)), suffix) == 0
    for method in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        assert on_npz(zipped(method, x=npy(X), y=npy(Y))) == 0


def test_a_sound_file_may_have_any_name(place):
    name = os.fsdecode(b"caf\xe9.npz")
    Path(name).write_bytes(zipped(x=npy(X), y=npy(Y)))
    assert run("compare", "--dataset", name, "--batch-size", "16") == 0
    Path(name).unlink()


damage = st.one_of(
    st.tuples(st.just("cut"), st.floats(0, 1), st.just(b"")),
    st.tuples(st.just("replace"), st.floats(0, 1), st.binary(min_size=1, max_size=8)),
    st.tuples(st.just("insert"), st.floats(0, 1), st.binary(min_size=1, max_size=8)),
    st.tuples(st.just("start"), st.just(0.0), st.binary(min_size=1, max_size=128)),
)


def damaged(content, how):
    what, where, extra = how
    at = int(where * len(content))
    if what == "cut":
        return content[:at]
    return content[:at] + extra + content[at + (len(extra) if what != "insert" else 0) :]


def zipped_with(where, content):
    """An .npz whose member of that name is something else."""
    return zipped(x=content, y=npy(Y)) if where == "x" else zipped(x=npy(X), y=content)


SMALL = {
    "stored": zipped(x=npy(X[:30, :2]), y=npy(Y[:30])),
    "deflated": zipped(zipfile.ZIP_DEFLATED, x=npy(X[:30, :2]), y=npy(Y[:30])),
    "bzip2": zipped(zipfile.ZIP_BZIP2, x=npy(X[:30, :2]), y=npy(Y[:30])),
}


@given(
    content=st.sampled_from(sorted(SMALL)).map(SMALL.__getitem__) | st.binary(max_size=300),
    damages=st.lists(damage, min_size=1, max_size=3),
)
@fuzzed
def test_a_damaged_npz_ends_in_one_line(content, damages):
    for how in damages:
        content = damaged(content, how)
    on_npz(content)


DESCRIPTIONS = ["<f4", "|O", "|S0", "<U0", "<M8[s]", "|V4", "<c8", "<f4,<f4", "<q", "|b1", "no"]
sizes = st.sampled_from([-1, 0, 1, 2, 150, 2**31, 2**62, 2**63, 10**30, True, None, 1.5, "a"])


@given(
    description=st.sampled_from(DESCRIPTIONS),
    shape=st.lists(sizes, max_size=3).map(tuple),
    order=st.sampled_from([True, False, None]),
    version=st.sampled_from([(1, 0), (2, 0), (3, 0), (9, 9)]),
    body=st.binary(max_size=20),
    where=st.sampled_from(["x", "y"]),
)
@fuzzed
def test_a_header_that_promises_anything_ends_in_one_line(
    description, shape, order, version, body, where
):
    told = repr({"descr": description, "fortran_order": order, "shape": shape}).encode() + b"\n"
    length = len(told).to_bytes(2 if version == (1, 0) else 4, "little")
    array = b"\x93NUMPY" + bytes(version) + length + told + body
    assert on_npz(zipped_with(where, array)) == 2


@given(
    which=st.integers(0, 3),
    damages=st.lists(damage, min_size=1, max_size=2),
    suffix=st.sampled_from(["", ".gz"]),
    within=st.booleans(),
)
@fuzzed
def test_a_damaged_idx_file_ends_in_one_line(which, damages, suffix, within):
    contents = list(map(gzip.compress, SOUND)) if suffix else list(SOUND)
    content = SOUND[which] if suffix and within else contents[which]
    for how in damages:
        content = damaged(content, how)
    contents[which] = gzip.compress(content) if suffix and within else content
    on_idx(contents, suffix)


@pytest.mark.parametrize(
    "replaced",
    [
        {0: None},
        {1: None},
        {0: idx(PIXELS.reshape(N, 6))},
        {0: idx(np.zeros((0, 2, 3)))},
        {0: idx(np.zeros((N, 0, 3)))},
        {1: idx(np.zeros(0))},
        {1: idx(np.zeros(N))},
        {1: idx(LABELS * 2)},
        {1: idx(LABELS + 253)},
        {1: idx(LABELS[1:])},
        {2: idx(PIXELS[:, :1])},
        {3: idx(np.arange(N) % 2)},
        {3: idx(np.arange(N) % 4)},
        {0: bytes([0, 0, 8, 3]) + b"\x7f\xff\xff\xff" * 3},
        {0: bytes([0, 0, 13, 3]) + idx(PIXELS)[4:]},
        {0: b"\0" * 5000},
    ],
)
def test_idx_files_that_do_not_fit_end_in_one_line(replaced):
    assert on_idx([replaced.get(i, content) for i, content in enumerate(SOUND)]) == 2


@pytest.mark.parametrize(
    ("x", "y"),
    [
        (X, Y - 1),
        (X, Y * 1.0),
        (X, Y * 2),
        (X, Y * 10**12),
        (X, Y.astype(np.uint64) + 2**63),
        (X, Y == 1),
        (X, Y.astype(str)),
        (X, Y[1:]),
        (X, np.array(3)),
        (X, Y[:0]),
        (X * np.nan, Y),
        (X + np.inf, Y),
        (X[:0], Y[:0]),
        (X[:, :0], Y),
        (X[:, 0], Y),
        (np.array(1.0), Y),
        (X.astype(complex), Y),
        (X.astype("S2"), Y),
        (np.zeros(N, "f4,f4"), Y),
        (np.zeros((N, 2), "M8[s]"), Y),
        (X[:3], Y[:3]),
        (X[:10], Y[:10]),
    ],
)
def test_arrays_that_cannot_be_learnt_end_in_one_line(x, y):
    assert on_npz(zipped(x=npy(x), y=npy(y))) == 2


def test_what_follows_an_array_or_lacks_is_no_array():
    for content in (npy(X) + b"\0", npy(X)[:-1], npy(X).replace(b"(150, 6)", b"(-15,-6)")):
        assert on_npz(zipped(x=content, y=npy(Y))) == 2


def test_an_array_of_python_2_is_read_without_a_warning():
    old = npy(X).replace(b"(150, 6), }  ", b"(150L, 6L), }")
    assert old != npy(X)
    assert on_npz(zipped(x=old, y=npy(Y))) == 0


class Payload:
    def __reduce__(self):
        return Path.touch, (Path("unpickled"),)


@pytest.mark.parametrize("where", ["x", "y"])
def test_a_pickle_is_never_unpickled(where):
    array = np.empty(1, object)
    array[0] = Payload()
    file = io.BytesIO()
    np.lib.format.write_array(file, array, allow_pickle=True)
    pickled = file.getvalue()
    assert on_npz(zipped_with(where, pickled)) == 2
    assert on_npz(pickled) == 2
    assert on_npz(pickle.dumps(Payload())) == 2
    assert on_npz(zipped(x=pickle.dumps(Payload()), y=npy(Y))) == 2
    assert not Path("unpickled").exists()
    pickle.loads(pickle.dumps(Payload()))  # which shows that it would have been seen
    assert Path("unpickled").exists()
    Path("unpickled").unlink()


@pytest.mark.parametrize("name", ["folder.npz", "loop.npz", "nothing.npz", "device.npz"])
def test_what_is_no_file_ends_in_one_line(name):
    Path("folder.npz").mkdir()
    Path("loop.npz").symlink_to("loop.npz")
    Path("device.npz").symlink_to("/dev/zero")
    try:
        assert run("compare", "--dataset", name) == 2
        assert run("compare", "--dataset", "mnist", "--data-dir", name) == 2
    finally:
        Path("folder.npz").rmdir()
        Path("loop.npz").unlink()
        Path("device.npz").unlink()


# Bombs

LIMIT, LARGE = 2**20, 2**25  # bytes
ALLOWED = 12 * LIMIT  # for pieces, zlib's window and a data set of the limit's size as floats


@contextlib.contextmanager
def bounded(monkeypatch):
    """The limit lowered; no more memory may be taken at any time than it asks for."""
    assert ALLOWED < LARGE
    monkeypatch.setattr(readers, "MAX_BYTES", LIMIT)
    with memory_below(ALLOWED):
        yield


def told_size(content, size):
    """The zip with another size told of its first member, in its directory and before it."""
    content = bytearray(content)
    for at in (content.index(b"PK\x01\x02") + 24, content.index(b"PK\x03\x04") + 22):
        assert int.from_bytes(content[at : at + 4], "little") == LARGE
        content[at : at + 4] = size.to_bytes(4, "little")
    return bytes(content)


ZEROS = npy(np.zeros((LARGE // 4 - 32, 1), np.float32))


@pytest.mark.parametrize("told", [LARGE, 1000, LIMIT // 2, 2**32 - 2])
def test_an_npz_that_unfolds_beyond_the_limit_is_refused_before_it_does(told, monkeypatch):
    assert len(ZEROS) == LARGE
    bomb = told_size(zipped(zipfile.ZIP_DEFLATED, x=ZEROS, y=npy(Y)), told)
    with bounded(monkeypatch):
        assert on_npz(bomb) == 2


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_what_unfolds_without_bound_is_not_unfolded(method, monkeypatch):
    bomb = told_size(zipped(method, x=ZEROS, y=npy(Y)), LIMIT // 2)
    with bounded(monkeypatch):
        assert on_npz(bomb) == 2


def test_a_header_takes_no_memory_for_what_it_only_promises(monkeypatch):
    promise = npy(X).replace(b"(150, 6)", b"(9999,9999)")
    with bounded(monkeypatch):
        assert on_npz(zipped(x=promise, y=npy(Y))) == 2


@pytest.mark.parametrize("told", [(150, 2, 3), (LARGE // 6, 2, 3), (2**31 - 1, 2**31 - 1, 9)])
@pytest.mark.parametrize("which", [0, 1])
def test_an_idx_file_that_unfolds_beyond_the_limit_is_refused(told, which, monkeypatch):
    told = told if which == 0 else (min(np.prod(told, dtype=object), 2**31 - 1),)
    header = bytes([0, 0, 8, len(told)]) + np.array(told, ">i4").tobytes()
    bomb = gzip.compress(header + bytes(LARGE))
    contents = [bomb if i == which else gzip.compress(c) for i, c in enumerate(SOUND)]
    with bounded(monkeypatch):
        assert on_idx(contents, ".gz") == 2


def test_the_limit_is_that_of_all_files_together(monkeypatch):
    total = sum(map(len, SOUND)) - 2 * (16 + 8)  # without headers
    total *= 1 + readers.AS_DATA  # beside each byte what becomes of it
    monkeypatch.setattr(readers, "MAX_BYTES", total)
    assert on_idx(SOUND) == 0
    monkeypatch.setattr(readers, "MAX_BYTES", total - 1)
    assert on_idx(SOUND) == 2
    content = zipped(x=npy(X), y=npy(Y))
    total = sum(array.nbytes + readers.AS_DATA * array.size for array in (X, Y))
    monkeypatch.setattr(readers, "MAX_BYTES", total)
    assert on_npz(content) == 0
    monkeypatch.setattr(readers, "MAX_BYTES", total - 1)
    assert on_npz(content) == 2


@pytest.mark.parametrize("dtype", [np.uint8, bool, np.float32, np.float64])
def test_what_becomes_of_the_bytes_of_a_file_is_bounded_with_them(dtype, monkeypatch):
    x = np.zeros((N, 2**12), dtype)
    x[::2] = 1
    monkeypatch.setattr(readers, "MAX_BYTES", x.nbytes + readers.AS_DATA * x.size + 2**13)
    tracemalloc.start()
    try:
        assert on_npz(zipped(zipfile.ZIP_DEFLATED, x=npy(x), y=npy(Y))) == 0
        tracemalloc.reset_peak()
        before = tracemalloc.get_traced_memory()[0]
        Path("data.npz").write_bytes(zipped(zipfile.ZIP_DEFLATED, x=npy(x), y=npy(Y)))
        tracemalloc.reset_peak()
        data.load_dataset("data.npz")
        peak = tracemalloc.get_traced_memory()[1] - before
    finally:
        tracemalloc.stop()
    # the first batches of rows and whether each is finite take a little beside
    assert peak < readers.MAX_BYTES + x.size * 1.25
    monkeypatch.setattr(readers, "MAX_BYTES", x.nbytes + readers.AS_DATA * x.size - 1)
    assert on_npz(zipped(zipfile.ZIP_DEFLATED, x=npy(x), y=npy(Y))) == 2


def test_a_pipe_is_no_file_of_conditions_or_data():
    os.mkfifo("pipe")
    for line in ("train --conditions pipe", "train --conditions /dev/zero", "inspect pipe"):
        assert run(*line.split()) == 2
    Path("pipe").unlink()


def test_zeros_do_unfold_a_thousandfold():
    assert len(zlib.compress(ZEROS)) < LARGE / 900
