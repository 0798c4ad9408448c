import json
import os
import pickle
import re
import shlex
import subprocess
import sys
import zipfile
from pathlib import Path

import flax.serialization
import h5py
import jax
import jax.numpy as jnp
import ml_dtypes
import numpy as np
import orbax.checkpoint as ocp
import pytest
from hypothesis import given
from hypothesis import strategies as st
from safetensors.numpy import save_file

from dropout_jax.analysis.trees import kernels_in
from dropout_jax.inspection import conversion
from dropout_jax.inspection.tensors import input_files, list_tensors
from dropout_jax.io import readers
from tests.memory import memory_below

TREE = {
    "params": {"layer_0": {"kernel": np.arange(12.0).reshape(4, 3), "bias": np.ones(3)}},
    "list": [np.zeros((2, 2), np.float32), np.ones((1, 5), np.int32)],
}
FLAT = {
    ".".join(str(getattr(part, "key", getattr(part, "idx", ""))) for part in path): leaf
    for path, leaf in jax.tree_util.tree_leaves_with_path(TREE)
}


def write_safetensors(folder):
    save_file(FLAT, folder / "file.safetensors")
    return folder / "file.safetensors"


def write_npz(folder):
    np.savez_compressed(folder / "file.npz", **FLAT)
    return folder / "file.npz"


def write_orbax(folder):
    with ocp.Checkpointer(ocp.PyTreeCheckpointHandler()) as writer:
        writer.save(folder / "file", args=ocp.args.PyTreeSave(TREE))
    return folder / "file"


def write_steps_of_orbax(folder):
    with ocp.CheckpointManager(folder / "file") as manager:
        manager.save(5, args=ocp.args.StandardSave(jax.tree.map(jnp.asarray, TREE)))
    return folder / "file"


def write_shards(folder):
    """As `save_pretrained` does: in shards, and where each tensor is."""
    (folder / "file").mkdir()
    shard_of = {name: f"model-0000{1 + i % 2}-of-00002.safetensors" for i, name in enumerate(FLAT)}
    for shard in set(shard_of.values()):
        save_file(
            {name: FLAT[name] for name in FLAT if shard_of[name] == shard}, folder / "file" / shard
        )
    index = {"metadata": {"total_size": 1}, "weight_map": shard_of}
    (folder / "file" / "model.safetensors.index.json").write_text(json.dumps(index))
    return folder / "file"


WRITERS = [write_safetensors, write_shards, write_npz, write_orbax, write_steps_of_orbax]


@pytest.mark.parametrize("write", WRITERS)
def test_every_tensor_is_named_and_read_whole_or_by_its_row(write, tmp_path):
    tensors = {tensor.name: tensor for tensor in list_tensors(write(tmp_path))}
    assert set(tensors) == set(FLAT)
    for name, tensor in tensors.items():
        assert tensor.shape == FLAT[name].shape
        assert tensor.read(None).dtype.name == tensor.dtype
        np.testing.assert_array_equal(tensor.read(None), FLAT[name])
        np.testing.assert_array_equal(tensor.read(0), FLAT[name][0])


def test_16_and_8_bits_are_read_whole_or_by_a_row(tmp_path):
    torch = pytest.importorskip("torch", reason="torch is not installed: it is of extra [bench]")
    from safetensors.torch import save_file as save_torch

    kinds = (torch.bfloat16, torch.float16, torch.float8_e4m3fn, torch.float8_e5m2)
    arrays = {str(kind): torch.tensor([[1.5, -2.0], [0.0625, 96.0]]).to(kind) for kind in kinds}
    save_torch(arrays, tmp_path / "small.safetensors", metadata={"format": "pt"})
    tensors = list_tensors(tmp_path / "small.safetensors")
    assert {f"torch.{tensor.dtype}" for tensor in tensors} == {tensor.name for tensor in tensors}
    for tensor in tensors:
        expected = arrays[tensor.name].float().numpy()  # all of them have a short mantissa
        np.testing.assert_array_equal(tensor.read(None).astype(np.float32), expected)
        np.testing.assert_array_equal(tensor.read(1).astype(np.float32), expected[1])


def test_half_precision_is_read(tmp_path):
    halves = {
        "bf": np.array([[1.5, -2.0]], ml_dtypes.bfloat16),
        "half": np.array([[0.1, 3.0]], np.float16),
    }
    save_file(halves, tmp_path / "halves.safetensors")
    for tensor in list_tensors(tmp_path / "halves.safetensors"):
        np.testing.assert_array_equal(tensor.read(None), halves[tensor.name])


def test_one_tensor_is_read_and_no_other(tmp_path, monkeypatch):
    read, whole = [], readers.npz_array
    monkeypatch.setattr(
        readers, "npz_array", lambda p, name, row: read.append(name) or whole(p, name, row)
    )
    tensors = list_tensors(write_npz(tmp_path))
    assert read == []
    tensors[0].read(None)
    assert read == [tensors[0].name]


class Evil:
    def __reduce__(self):
        return os.system, ("touch ran",)


SUFFIXES = (".pt", ".pth", ".pkl", ".bin", ".ckpt", ".safetensors", ".npz", ".pickle")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        *((f"evil{suffix}", r"^.*evil.*$") for suffix in SUFFIXES),
        ("objects.npz", "must hold numbers, got objects"),
    ],
)
def test_a_pickle_is_never_run_whatever_it_is_called(name, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    if name == "objects.npz":
        np.savez(name, w=np.array([Evil()], dtype=object))
    else:
        Path(name).write_bytes(pickle.dumps(Evil()))
    with pytest.raises(ValueError, match=message):
        list_tensors(Path(name))
    assert not Path("ran").exists()


def convert(path, why="can run code when it is loaded"):
    """Run the line that the refusal of a file gives, and read what it wrote."""
    with pytest.raises(ValueError, match=why) as refused:
        list_tensors(path)
    words = shlex.split(re.split("convert it once[^:]*: ", str(refused.value))[1])
    assert words[0] == sys.executable  # which has what the line needs, in a folder not on the PATH
    subprocess.run(words, check=True, capture_output=True, text=True)
    return {tensor.name: tensor.read(None) for tensor in list_tensors(Path(words[-1]))}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "key"),
    [
        ("it's a net.pt", None),
        ("lightning.ckpt", "state_dict"),
        ("called.safetensors", "model"),
        ("bare", "ema"),
    ],
)
def test_the_line_that_converts_a_file_of_pytorch_does(name, key, tmp_path):
    torch = pytest.importorskip("torch", reason="torch is not installed: it is of extra [bench]")
    network = torch.nn.Sequential(torch.nn.Linear(3, 3), torch.nn.Linear(3, 3))
    network[1].weight = network[0].weight  # tied: one memory under two names
    state = network.state_dict()
    torch.save({key: state, "epoch": 3} if key else state, tmp_path / name)
    converted = convert(tmp_path / name)
    assert set(converted) == set(state)
    for key, value in converted.items():
        np.testing.assert_array_equal(value, state[key].numpy())


@pytest.mark.slow
@pytest.mark.parametrize(
    ("nest", "prefixes"),
    [
        (lambda state: {"generator": state, "critic": state}, ["generator.", "critic."]),
        (lambda state: {"model": {"encoder": state}, "optimizer": state}, ["encoder."]),
        (lambda state: [state, (state,)], ["0.", "1.0."]),
    ],
)
def test_tensors_of_pytorch_are_found_however_they_are_nested(nest, prefixes, tmp_path):
    torch = pytest.importorskip("torch", reason="torch is not installed: it is of extra [bench]")
    torch.save(nest(torch.nn.Linear(3, 3).state_dict()), tmp_path / "net.pt")
    names = {f"{prefix}{name}" for prefix in prefixes for name in ("weight", "bias")}
    assert set(convert(tmp_path / "net.pt")) == names


@pytest.mark.slow
@pytest.mark.parametrize(
    ("make", "why"),
    [
        (lambda torch: {"epoch": 3, "model": {}}, "no tensor found"),
        (lambda torch: 3, "no tensor found"),
        (lambda torch: torch.nn.Linear(3, 3), "it holds more than tensors: save its state_dict"),
        (lambda torch: {"a": torch.eye(3).to_sparse()}, ""),  # in torch's words
    ],
)
def test_a_conversion_that_fails_says_so_in_one_line_and_writes_nothing(make, why, tmp_path):
    torch = pytest.importorskip("torch", reason="torch is not installed: it is of extra [bench]")
    torch.save(make(torch), tmp_path / "net.pt")
    with pytest.raises(subprocess.CalledProcessError) as failed:
        convert(tmp_path / "net.pt")
    (line,) = failed.value.stderr.splitlines()
    assert line.startswith(f"not converted: {why}")
    assert [path.name for path in tmp_path.iterdir()] == ["net.pt"]


def test_a_line_whose_library_is_not_here_says_where_to_run_it(tmp_path, monkeypatch):
    monkeypatch.setattr(conversion, "find_spec", lambda name: None)
    (tmp_path / "net.pt").touch()
    with pytest.raises(ValueError, match="convert it once, where torch is: python -c"):
        list_tensors(tmp_path / "net.pt")


@pytest.mark.slow
@pytest.mark.parametrize("name", ["haiku.pkl", "called.safetensors", "called.npz"])
def test_the_line_that_converts_a_pickle_does(name, tmp_path):
    params = {"linear": {"w": np.arange(6.0).reshape(2, 3), "b": np.ones(3, ml_dtypes.bfloat16)}}
    (tmp_path / name).write_bytes(pickle.dumps(params))
    converted = convert(tmp_path / name)
    np.testing.assert_array_equal(converted["linear.w"], params["linear"]["w"])
    np.testing.assert_array_equal(converted["linear.b"], params["linear"]["b"])


@pytest.mark.slow
def test_the_line_that_converts_the_bytes_of_flax_does(tmp_path):
    kernel = jnp.arange(6, dtype=jnp.bfloat16).reshape(2, 3)
    state = {"step": 3, "params": {"Dense_0": {"kernel": kernel}}, "list": [jnp.ones(2)]}
    (tmp_path / "net.msgpack").write_bytes(flax.serialization.to_bytes(state))
    converted = convert(tmp_path / "net.msgpack", "is Flax's msgpack, which is not read; convert")
    assert set(converted) == {"params.Dense_0.kernel", "list.0"}
    np.testing.assert_array_equal(converted["params.Dense_0.kernel"], kernel)


@pytest.mark.parametrize("write", [write_safetensors, write_shards, write_npz])
@given(cut=st.floats(0, 0.99), flip=st.integers(0, 2**16))
def test_a_damaged_file_is_an_error_in_one_line_or_read(write, cut, flip, tmp_path_factory):
    path = write(tmp_path_factory.mktemp("damaged"))
    if path.is_dir():
        (path,) = path.glob("*.json")
    raw = bytearray(path.read_bytes())
    raw[flip % len(raw)] ^= 255
    path.write_bytes(raw[: max(1, int(len(raw) * (cut if flip % 2 else 1)))])
    said = ""
    try:
        list_tensors(path)
    except ValueError as error:
        said = str(error)
    assert not said or str(path) in said
    assert len(said) < 500
    assert "\n" not in said


def test_a_shard_that_is_missing_is_named(tmp_path):
    folder = write_shards(tmp_path)
    (folder / "model-00002-of-00002.safetensors").unlink()
    with pytest.raises(ValueError, match=r"model-00002-of-00002\.safetensors"):
        list_tensors(folder)


def shards(folder, name):
    """An index of one shard of that name."""
    index = folder / "model.safetensors.index.json"
    index.write_text(json.dumps({"weight_map": {"kernel": name}}))
    return index


A_SHARD = r"a shard must be a \.safetensors file in the folder of"


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("../out.safetensors", A_SHARD),
        ("{}/out.safetensors", A_SHARD),
        ("below/in.safetensors", A_SHARD),
        ("link.safetensors", "in the folder of the index, got link"),
    ],
)
def test_a_shard_lies_in_the_folder_of_its_index(name, message, tmp_path):
    (tmp_path / "model" / "below").mkdir(parents=True)
    for path in ("out.safetensors", "model/below/in.safetensors"):
        save_file({"kernel": np.ones((2, 3))}, tmp_path / path)
    (tmp_path / "model" / "link.safetensors").symlink_to(tmp_path / "out.safetensors")
    index = shards(tmp_path / "model", name.format(tmp_path))
    with pytest.raises(ValueError, match=message):
        list_tensors(index)


def test_a_shard_may_lie_where_the_index_itself_is_a_link_to(tmp_path):
    """As in the cache of Hugging Face's hub."""
    (tmp_path / "blobs").mkdir()
    (tmp_path / "snapshot").mkdir()
    shards(tmp_path / "blobs", "model-1.safetensors").rename(tmp_path / "blobs" / "1f")
    save_file({"kernel": np.ones((2, 3))}, tmp_path / "blobs" / "2e")
    for link, to in (("model.safetensors.index.json", "1f"), ("model-1.safetensors", "2e")):
        (tmp_path / "snapshot" / link).symlink_to(f"../blobs/{to}")
    (tensor,) = list_tensors(tmp_path / "snapshot")
    assert tensor.read(None).sum() == 6


@pytest.mark.parametrize(
    "name", ["a.safetensors", "a.npz", "a", "a.pt", "a.safetensors.index.json", "shard", "orbax"]
)
def test_devices_and_pipes_are_not_opened(name, tmp_path):
    path = special = tmp_path / name
    if name == "shard":
        path, special = shards(tmp_path, "b.safetensors"), tmp_path / "b.safetensors"
    elif name == "orbax":
        path = write_orbax(tmp_path)
        special = path / "a"
    for make in (os.mkfifo, lambda at: at.symlink_to("/dev/zero")):
        make(special)
        with pytest.raises(ValueError, match=r"device|pipe|a shard must be"):
            list_tensors(path)
        special.unlink()


LIMIT = 2**20


def test_a_layer_that_unfolds_beyond_the_limit_is_refused_before_it_does(tmp_path, monkeypatch):
    monkeypatch.setattr(readers, "MAX_BYTES", LIMIT)
    entry = 4 + readers.AS_LAYER
    np.savez_compressed(
        tmp_path / "some.npz",
        most=np.zeros((LIMIT // entry, 1), np.float32),
        more=np.zeros((LIMIT // entry + 1, 1), np.float32),
        bomb=np.zeros((256, LIMIT // entry), np.float32),
    )
    most, more, bomb = list_tensors(tmp_path / "some.npz")
    assert most.read(None).size == LIMIT // entry
    for tensor in (more, bomb):
        with memory_below(8 * LIMIT), pytest.raises(ValueError, match="may take 1,048,576 bytes"):
            tensor.read(None)
    with memory_below(8 * LIMIT):  # a row is bounded as it is read
        assert bomb.read(63).shape == (LIMIT // entry,)
    np.savez(tmp_path / "stored.npz", more=np.zeros((LIMIT, 1), np.float32))
    (stored,) = list_tensors(tmp_path / "stored.npz")
    assert stored.read(None).size == LIMIT  # as large on the disk


def test_an_npz_names_the_member_that_is_no_array(tmp_path):
    np.savez(tmp_path / "file.npz", kernel=np.ones((2, 3)))
    with zipfile.ZipFile(tmp_path / "file.npz", "a") as archive:
        archive.writestr("readme.txt", "words")
    with pytest.raises(ValueError, match=r"an \.npz must hold arrays alone, got 'readme\.txt'"):
        list_tensors(tmp_path / "file.npz")


def test_a_row_of_an_npz_in_any_order_is_read_without_the_others(tmp_path):
    stack = np.arange(8 * 2**18, dtype=np.float32).reshape(8, 2**18)
    for save in (np.savez, np.savez_compressed):
        save(tmp_path / "rows.npz", c=stack, f=np.asfortranarray(stack))
        of_c, of_f = list_tensors(tmp_path / "rows.npz")
        with memory_below(stack.nbytes * 3 // 4):
            for s in (0, 5, 7):
                np.testing.assert_array_equal(of_c.read(s), stack[s])
        np.testing.assert_array_equal(of_f.read(5), stack[5])


def test_a_header_takes_no_memory_for_what_it_promises(tmp_path):
    with zipfile.ZipFile(tmp_path / "header.npz", "w", zipfile.ZIP_DEFLATED) as archive:
        start = b"\x93NUMPY\2\0" + (2**26).to_bytes(4, "little")
        archive.writestr("kernel.npy", start + bytes(2**26))
    with memory_below(2**22), pytest.raises(ValueError, match="header"):
        list_tensors(tmp_path / "header.npz")


def test_the_only_safetensors_file_of_a_folder_is_read_unless_there_is_a_checkpoint(tmp_path):
    save_file({"alone": np.ones((2, 3))}, tmp_path / "net-1-of-2.safetensors")
    assert [tensor.name for tensor in list_tensors(tmp_path)] == ["alone"]
    assert input_files(tmp_path) == [tmp_path / "net-1-of-2.safetensors"]
    write_orbax(tmp_path)
    assert "alone" not in [tensor.name for tensor in list_tensors(tmp_path)]


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("notes.txt", "got"),
        ("arrays.npy", "save its arrays with numpy.savez"),
        ("absent", "not there"),
        ("empty", "got none"),
        ("two", "one checkpoint of orbax, got a, file"),
        (
            "several",
            r"a folder must be of a run, or of a model .* got 1\.safetensors, 2\.safetensors$",
        ),
    ],
)
def test_what_is_no_file_of_weights_is_refused_with_what_is(name, why, tmp_path):
    (tmp_path / "notes.txt").touch()
    (tmp_path / "arrays.npy").touch()
    (tmp_path / "empty").mkdir()
    (tmp_path / "two").mkdir()
    (tmp_path / "several").mkdir()
    for i in (1, 2):
        save_file({"kernel": np.ones((2, 3))}, tmp_path / "several" / f"{i}.safetensors")
    write_orbax(tmp_path).rename(tmp_path / "two/a")
    write_orbax(tmp_path / "two")
    with pytest.raises(ValueError, match=why):
        list_tensors(tmp_path / name)


IN_HDF5 = "is in HDF5, which is not read; convert it once"


@pytest.mark.parametrize("name", ["net.weights.h5", "net.keras", "legacy.h5"])
def test_the_line_for_hdf5_gives_kernels_their_names(name, tmp_path):
    kernel, table = np.arange(6, dtype=np.float32).reshape(2, 3), np.ones((5, 2))
    path = tmp_path / name
    written = tmp_path / "model.weights.h5" if name == "net.keras" else path
    with h5py.File(written, "w") as file:
        if name == "legacy.h5":
            file["model_weights/dense/dense/kernel:0"] = kernel
        else:
            file["layers/dense/vars/0"], file["layers/dense/vars/1"] = kernel, np.ones(3)
            file["layers/embedding/vars/0"] = table
            file["optimizer/vars/0"] = np.ones((2, 2))
    if name == "net.keras":
        with zipfile.ZipFile(path, "w") as archive:
            archive.write(written, "model.weights.h5")
    ((found, read),) = kernels_in(convert(path, IN_HDF5)).items()
    np.testing.assert_array_equal(read, kernel)
    assert found.rpartition("/")[2] == "kernel"


def test_the_line_for_hdf5_names_the_kernels_of_layers_that_have_several(tmp_path):
    shapes = {
        "separable_conv2d": [(3, 3, 12, 1), (1, 1, 12, 5), (5,)],
        "conv2d_transpose": [(3, 3, 7, 5), (7,)],
        "lstm/cell": [(7, 24), (6, 24), (24,)],
        "multi_head_attention/query_dense": [(5, 2, 4), (2, 4)],
        "mine": [(2,), (2,), (2, 2)],
    }
    with h5py.File(tmp_path / "net.weights.h5", "w") as file:
        for layer, of in shapes.items():
            for i, shape in enumerate(of):
                file[f"layers/{layer}/vars/{i}"] = np.ones(shape)
    converted = convert(tmp_path / "net.weights.h5", IN_HDF5)
    assert "layers/mine/vars/2" in converted  # of which nothing is known
    read = kernels_in(converted)
    assert {name.removeprefix("layers/"): kernel.shape for name, kernel in read.items()} == {
        "conv2d_transpose/kernel": (45, 7),
        "lstm/cell/kernel": (7, 24),
        "lstm/cell/recurrent_kernel": (6, 24),
        "multi_head_attention/query_dense/kernel": (5, 8),
        "separable_conv2d/depthwise_kernel": (9, 12),
        "separable_conv2d/pointwise_kernel": (12, 5),
    }
