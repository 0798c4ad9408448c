"""Tensors of a file that anything may have written: named at once, read one at a time.

Safetensors, `.npz` and folders of orbax are read, as none of them can run code. Formats that can
are refused with the line that converts them.
"""

import shlex
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from safetensors import safe_open

from dropout_jax import files

READ = ".safetensors, .npz or a folder of orbax"
RUN_CODE = (".pt", ".pth", ".bin", ".ckpt", ".pkl", ".pickle", ".joblib", ".npy", ".h5", ".keras")
CONVERT = (
    "import sys, torch, safetensors.torch as s; s.save_file({k: v.contiguous() for k, v in "
    "torch.load(sys.argv[1], weights_only=True).items()}, sys.argv[2])"
)
_DTYPES = {
    **{"F64": "float64", "F32": "float32", "F16": "float16", "BF16": "bfloat16", "BOOL": "bool"},
    **{f"I{n}": f"int{n}" for n in (8, 16, 32, 64)},
    **{f"U{n}": f"uint{n}" for n in (8, 16, 32, 64)},
}


class Tensor(NamedTuple):
    """One tensor of a file.

    Attributes:
      name: as the file has it; the path of a leaf is joined by dots.
      shape: its sizes.
      dtype: its type, by NumPy's name where NumPy has one.
      read: gives the whole of it, or for an integer that row of its first axis.
    """

    name: str
    shape: tuple[int, ...]
    dtype: str
    read: Callable[[int | None], np.ndarray]


def tensors_of(path: Path) -> list[Tensor]:
    """All tensors of a file, or of the run or the checkpoint in a folder; none is read yet.

    Raises:
      ValueError: if it is none of the formats, can run code, is damaged, or holds several.

    Example:
      >>> import tempfile
      >>> with tempfile.TemporaryDirectory() as folder:
      ...     np.savez(Path(folder, "a.npz"), kernel=np.ones((2, 3)))
      ...     (tensor,) = tensors_of(Path(folder, "a.npz"))
      ...     print(tensor.name, tensor.shape, tensor.read(None).sum())
      kernel (2, 3) 6.0
    """
    if (path / "weights.safetensors").is_file():
        path = path / "weights.safetensors"
    if not path.exists():
        raise ValueError(f"a file of weights must be {READ}, got {path}, which is not there")
    try:
        if path.is_dir():
            return _of_orbax(_checkpoint_in(path))
        if path.suffix == ".safetensors":
            return _of_safetensors(path)
        if path.suffix == ".npz":
            return _of_npz(path)
    except ValueError as error:
        raise ValueError(f"{path}: {files.on_one_line(error)}") from error
    except Exception as error:  # what a foreign file can make a reader raise has no end
        why = f"{path}: cannot be read, perhaps damaged: {files.on_one_line(error)[:300]}"
        raise ValueError(why) from error
    if path.suffix in RUN_CODE:
        raise ValueError(_refusal(path))
    raise ValueError(f"a file of weights must be {READ}, got {path}")


def _refusal(path: Path) -> str:
    """Why a file is not read, and the line that converts it."""
    into = path.with_suffix(".safetensors")
    if path.suffix in (".npy", ".h5", ".keras"):
        return f"a file of weights must be {READ}, got {path}: save its arrays with numpy.savez"
    line = f"python -c {shlex.quote(CONVERT)} {shlex.quote(str(path))} {shlex.quote(str(into))}"
    return f"{path} can run code when it is loaded; convert it once: {line}"


def _of_safetensors(path: Path) -> list[Tensor]:
    with safe_open(path, "np") as file:
        slices = {name: file.get_slice(name) for name in file.keys()}  # noqa: SIM118, no mapping
        return [
            Tensor(
                name,
                tuple(of.get_shape()),
                _DTYPES.get(str(of.get_dtype()), str(of.get_dtype())),
                partial(_read_safetensors, path, name),
            )
            for name, of in slices.items()
        ]


def _read_safetensors(path: Path, name: str, row: int | None = None) -> np.ndarray:
    with safe_open(path, "np") as file:
        return file.get_tensor(name) if row is None else file.get_slice(name)[row]


def _of_npz(path: Path) -> list[Tensor]:
    def read(name: str, row: int | None = None) -> np.ndarray:
        whole = files.npz_member(path, name)
        return whole if row is None else whole[row]

    return [
        Tensor(name, shape, dtype.name, partial(read, name))
        for name, (shape, dtype) in files.npz_headers(path).items()
    ]


def _checkpoint_in(path: Path) -> Path:
    """The one folder of orbax's below `path`, or `path` itself."""
    found = sorted({file.parent for file in path.rglob("_METADATA")})
    if len(found) != 1:
        shown = ", ".join(str(one.relative_to(path)) for one in found[-3:]) or "none"
        raise ValueError(f"a folder must hold one checkpoint of orbax, got {shown}")
    return found[0].resolve()


def _of_orbax(path: Path) -> list[Tensor]:
    tree = _orbax_tree(path)
    return [
        Tensor(
            ".".join(_key(part) for part in where),
            tuple(leaf.shape),
            jnp.dtype(leaf.dtype).name,
            partial(_read_orbax, path, tree, where),
        )
        for where, leaf in jax.tree_util.tree_leaves_with_path(tree)
        if getattr(leaf, "shape", None) is not None
    ]


def _key(part: Any) -> str:
    """A step of a path, of a dictionary, a list or an object."""
    return str(next(getattr(part, name) for name in ("key", "idx", "name") if hasattr(part, name)))


def _orbax_tree(path: Path) -> Any:
    import orbax.checkpoint as ocp

    with ocp.Checkpointer(ocp.PyTreeCheckpointHandler()) as reader:
        told = reader.metadata(path).item_metadata
        return getattr(told, "tree", told)


def _read_orbax(path: Path, tree: Any, where: tuple, row: int | None = None) -> np.ndarray:
    """One leaf; all others keep their places and are not read."""
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
