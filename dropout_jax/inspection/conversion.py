"""Files of formats that are not read, and the lines that convert them; some can run code."""

import shlex
import sys
import zipfile
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple


class _Format(NamedTuple):
    """A format that is not read."""

    why: str
    package: str  # that the program needs
    program: str  # that converts it
    suffix: str = ".safetensors"  # of what it writes
    condition: str = ""  # to run it


_PYTORCH = _Format(
    "can run code when it is loaded",
    "torch",
    # a failure is one line: torch's own message advises to run what is pickled; tensors are
    # cloned, as tied weights share memory, which safetensors refuses
    'import sys; sys.excepthook = lambda kind, why, _: sys.exit("not converted: " + '
    '("it holds more than tensors: save its state_dict" if "Unpickling" in kind.__name__ '
    'else str(why).partition("\\n")[0])); '
    "import torch, safetensors.torch as s; "
    'd = torch.load(open(sys.argv[1], "rb"), map_location="cpu", weights_only=True); '
    "of = lambda d: dict(enumerate(d)) if isinstance(d, (list, tuple)) else "
    "d if isinstance(d, dict) else {}; "
    'flat = lambda d, at="": {at[1:]: d} if torch.is_tensor(d) else '
    '{n: t for k, v in of(d).items() for n, t in flat(v, f"{at}.{k}").items()}; '
    'usual = ("state_dict", "model_state_dict", "model", "net", "ema"); '
    "d = next((d[k] for k in usual if flat(of(d).get(k))), d); "
    "t = {n: t.clone().contiguous() for n, t in flat(d).items()}; "
    's.save_file(t or sys.exit("not converted: no tensor found"), sys.argv[2])',
)
_PICKLE = _Format(
    "can run code when it is loaded",
    "flax",
    "import sys, pickle, numpy as n, flax.traverse_util as t, safetensors.numpy as s; "
    'd = t.flatten_dict(pickle.load(open(sys.argv[1], "rb")), sep="."); '
    "s.save_file({k: n.ascontiguousarray(v) for k, v in d.items()}, sys.argv[2])",
    condition=", if you trust who made it, as that runs it",
)
_MSGPACK = _Format(
    "is Flax's msgpack, which is not read",
    "flax",
    "import sys, numpy as n, flax.serialization as f, flax.traverse_util as t, "
    "safetensors.numpy as s; "
    'd = t.flatten_dict(f.msgpack_restore(open(sys.argv[1], "rb").read()), sep="."); '
    't = {k: n.ascontiguousarray(v) for k, v in d.items() if hasattr(v, "dtype")}; '
    't or sys.exit("no array found"); s.save_file(t, sys.argv[2])',
)
_HDF5 = _Format(
    "is in HDF5, which is not read",
    "h5py",
    # Keras numbers the variables of a layer; what is in its path tells their names
    "import io, re, sys, zipfile, h5py, numpy as n; p, t = sys.argv[1], {}; "
    'p = io.BytesIO(zipfile.ZipFile(p).read("model.weights.h5")) if zipfile.is_zipfile(p) else p; '
    'names = {"embedding": "embeddings", "separable": "depthwise_kernel pointwise_kernel bias", '
    '"cell/vars": "kernel recurrent_kernel bias", "": "kernel bias"}; '
    "of = lambda k: next(of for part, of in names.items() if part in k).split(); "
    "name = lambda k: lambda m: dict(enumerate(of(k))).get(int(m[1]), m[0]); "
    'named = lambda k: re.sub("vars/([0-9]+)$", name(k), k.removesuffix(":0")); '
    "keep = lambda k, d: t.update({named(k): d[()]}) if isinstance(d, h5py.Dataset) else None; "
    'h5py.File(p).visititems(keep); t or sys.exit("no array found"); n.savez(sys.argv[2], **t)',
    suffix=".npz",
)


def conversion(path: Path) -> str | None:
    """Why a file of a known format is not read, and the line that converts it; None for others.

    Example:
      >>> import tempfile
      >>> with tempfile.TemporaryDirectory() as folder:
      ...     Path(folder, "net.pt").touch()
      ...     print(conversion(Path(folder, "net.pt")).partition(";")[0].rpartition("/")[2])
      net.pt can run code when it is loaded
    """
    if (unread := _format(path)) is None:
        return None
    target = path.with_suffix(unread.suffix)
    if target.exists():
        target = path.with_suffix(f".converted{unread.suffix}")
    python, where = sys.executable, ""
    if find_spec(unread.package) is None:
        python, where = "python", f", where {unread.package} is"
    line = shlex.join([python, "-c", unread.program, str(path), str(target)])
    return f"{path} {unread.why}; convert it once{where}{unread.condition}: {line}"


def _format(path: Path) -> _Format | None:
    """The format of a file, by its content, then by its name; None if it is another."""
    with path.open("rb") as file:
        start = file.read(2)
    if path.suffix in (".h5", ".hdf5", ".keras") or start == b"\x89H":
        return _HDF5
    if path.suffix == ".msgpack":
        return _MSGPACK
    if path.suffix in (".pt", ".pth", ".bin", ".ckpt") or _is_torch_archive(path):
        return _PYTORCH
    is_pickle = start in (b"\x80\2", b"\x80\3", b"\x80\4", b"\x80\5")
    return _PICKLE if path.suffix in (".pkl", ".pickle") or is_pickle else None


def _is_torch_archive(path: Path) -> bool:
    """Whether a file is an archive that `torch.save` wrote."""
    try:
        with zipfile.ZipFile(path) as archive:
            return any(name.endswith("data.pkl") for name in archive.namelist())
    except Exception:  # no archive, or one that is damaged in whatever way
        return False
