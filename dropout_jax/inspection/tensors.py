"""The tensors of a file, whatever wrote it: all are named at once and read one at a time.

Safetensors, `.npz` and folders of orbax are read, as none of them can run code. Other formats are
refused; `conversion` gives the line that converts them.
"""

import json
import math
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from dropout_jax.inspection.conversion import conversion
from dropout_jax.io import readers

_WANTED = "a file of weights must be .safetensors, .npz or a folder of orbax, got"
_INDEX = ".safetensors.index.json"  # of shards, as Hugging Face's libraries write it
_IN_FOLDERS = ("weights.safetensors", "model.safetensors", f"model{_INDEX}")
_DTYPES = {  # NumPy's names of those of safetensors
    **{"F64": "float64", "F32": "float32", "F16": "float16", "BF16": "bfloat16", "BOOL": "bool"},
    **{"F8_E4M3": "float8_e4m3fn", "F8_E5M2": "float8_e5m2"},
    **{f"{kind[0].upper()}{n}": f"{kind}{n}" for kind in ("int", "uint") for n in (8, 16, 32, 64)},
}


class Tensor(NamedTuple):
    """One tensor of a file.

    Attributes:
      name: as the file has it; the path of a leaf is joined by dots.
      shape: its sizes.
      dtype: NumPy's name of its type, if NumPy has one.
      read: returns the whole tensor, or for an integer that row of its first axis.
    """

    name: str
    shape: tuple[int, ...]
    dtype: str
    read: Callable[[int | None], np.ndarray]


def list_tensors(path: Path) -> list[Tensor]:
    """All tensors of a file, of an index of shards or of a folder; none is read yet.

    A folder belongs to a run or to a model of Hugging Face, or holds one checkpoint of orbax, or
    without any a single .safetensors file.

    Raises:
      ValueError: if the file has none of these formats, can run code, is damaged, or if a folder
        holds several checkpoints.
    """
    path = _in_folder(path)
    if not path.exists():
        raise ValueError(f"{_WANTED} {path}, which is not there")
    if not path.is_file() and not path.is_dir():
        raise ValueError(f"{_WANTED} the device or pipe {path}")
    try:
        if path.is_dir():
            return _from_orbax(_checkpoint_in(path))
        if path.suffix == ".safetensors":
            return _from_safetensors(path)
        if path.name.endswith(_INDEX):
            return _from_shards(path)
        if path.suffix == ".npz":
            return _from_npz(path)
    except Exception as error:  # what a foreign file can make a reader raise has no end
        if path.is_file() and (why := conversion(path)):
            raise ValueError(why) from error
        damaged = "" if isinstance(error, ValueError) else "cannot be read, perhaps damaged: "
        raise ValueError(f"{path}: {damaged}{readers.one_line(error)[:300]}") from error
    if path.suffix == ".npy":
        raise ValueError(f"{_WANTED} {path}: save its arrays with numpy.savez")
    raise ValueError(conversion(path) or f"{_WANTED} {path}")


def input_files(path: Path) -> list[Path]:
    """The files that may hold the tensors of a path; for an index, every .safetensors beside it."""
    path = _in_folder(path)
    if path.is_dir():
        return [file for checkpoint in _checkpoints_in(path) for file in checkpoint.rglob("*")]
    return [path, *(path.parent.glob("*.safetensors") if path.name.endswith(_INDEX) else ())]


def _in_folder(path: Path) -> Path:
    """The file of weights in the folder of a run or a model, or alone; any other path itself."""
    named = next((path / name for name in _IN_FOLDERS if (path / name).is_file()), None)
    alone = _safetensors_in(path)
    if not named and len(alone) == 1 and not _checkpoints_in(path):
        return alone[0]
    return named or path


def _safetensors_in(path: Path) -> list[Path]:
    return sorted(file for file in path.glob("*.safetensors") if file.is_file())


def _from_safetensors(path: Path) -> list[Tensor]:
    from safetensors import safe_open

    with safe_open(path, "np"):
        pass  # sound: what its header promises is there
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        header = json.loads(file.read(length))
    header.pop("__metadata__", None)
    tensors = []
    for name, of in header.items():
        shape, dtype = tuple(of["shape"]), _DTYPES.get(of["dtype"]) or of["dtype"]
        start = 8 + length + of["data_offsets"][0]
        read = partial(_read_safetensors, path, shape, dtype, start)
        tensors.append(Tensor(name, shape, dtype, read))
    return tensors


def _from_shards(index: Path) -> list[Tensor]:
    """The tensors of an index, each in the shard that the index names."""
    shard_of = json.loads(index.read_text(encoding="utf-8"))["weight_map"]
    tensors = {
        shard: {tensor.name: tensor for tensor in _from_safetensors(_shard(index, shard))}
        for shard in dict.fromkeys(shard_of.values())
    }
    return [tensors[shard][name] for name, shard in shard_of.items()]


def _shard(index: Path, name: str) -> Path:
    """A shard beside its index, or beside what the index links to, as in a cache of models."""
    path = index.parent / name
    beside = path.resolve().parent in (index.parent.resolve(), index.resolve().parent)
    if Path(name).name != name or path.suffix != ".safetensors" or not beside:
        wanted = "a shard must be a .safetensors file in the folder of the index"
        raise ValueError(f"{wanted}, got {name}")
    if path.exists() and not path.is_file():
        raise ValueError(f"a shard must be a file, got {name}")
    return path


def _read_safetensors(
    path: Path, shape: tuple[int, ...], dtype: str, start: int, row: int | None = None
) -> np.ndarray:
    """One tensor from its bytes, as `safe_open` reads no types of 8 bits for NumPy."""
    kind = jnp.dtype(dtype)
    if row is not None:
        shape = shape[1:]
        start += row * math.prod(shape) * kind.itemsize
    return np.fromfile(path, kind, math.prod(shape), offset=start).reshape(shape)


def _from_npz(path: Path) -> list[Tensor]:
    return [
        Tensor(name, header.shape, header.dtype.name, partial(readers.npz_array, path, name))
        for name, header in readers.npz_headers(path).items()
    ]


def _checkpoints_in(path: Path) -> list[Path]:
    """The checkpoints of orbax below `path`, which may be one itself."""
    return sorted({file.parent for file in path.rglob("_METADATA")})


def _checkpoint_in(path: Path) -> Path:
    """The only checkpoint in a folder; it must consist of files."""
    found = _checkpoints_in(path)
    if len(found) != 1:
        got = found or _safetensors_in(path)
        shown = ", ".join(str(one.relative_to(path)) for one in got[-3:]) or "none"
        raise ValueError(
            "a folder must be of a run, or of a model of Hugging Face with its index, or hold one "
            f".safetensors file or one checkpoint of orbax, got {shown}"
        )
    if strange := [one for one in found[0].rglob("*") if not (one.is_file() or one.is_dir())]:
        raise ValueError(f"a checkpoint must be of files, got the device or pipe {strange[0]}")
    return found[0].resolve()


def _from_orbax(path: Path) -> list[Tensor]:
    import orbax.checkpoint as ocp

    with ocp.Checkpointer(ocp.PyTreeCheckpointHandler()) as reader:
        metadata = reader.metadata(path).item_metadata
    tree = getattr(metadata, "tree", metadata)
    return [
        Tensor(
            jax.tree_util.keystr(where, simple=True, separator="."),
            tuple(leaf.shape),
            jnp.dtype(leaf.dtype).name,
            partial(_read_orbax, path, tree, where),
        )
        for where, leaf in jax.tree_util.tree_leaves_with_path(tree)
        if getattr(leaf, "shape", None) is not None
    ]


def _read_orbax(path: Path, tree: Any, where: tuple, row: int | None = None) -> np.ndarray:
    """One leaf; the others keep their places and are not read."""
    import orbax.checkpoint as ocp

    def wanted(at: tuple, leaf: Any) -> Any:
        return jax.ShapeDtypeStruct(leaf.shape, leaf.dtype) if at == where else ocp.PLACEHOLDER

    item = jax.tree_util.tree_map_with_path(wanted, tree)
    as_numpy = jax.tree.map(lambda _: ocp.RestoreArgs(restore_type=np.ndarray), item)
    with ocp.Checkpointer(ocp.PyTreeCheckpointHandler()) as reader:
        args = ocp.args.PyTreeRestore(item=item, restore_args=as_numpy)
        leaves = jax.tree_util.tree_leaves_with_path(reader.restore(path, args=args))
    whole = np.asarray(next(leaf for at, leaf in leaves if at == where))
    return whole if row is None else whole[row]
