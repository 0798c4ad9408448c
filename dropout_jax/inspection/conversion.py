"""Files of formats that are not read, and the lines that convert them; some can run code."""

import shlex
import zipfile
from pathlib import Path

_PYTORCH = (".pt", ".pth", ".bin", ".ckpt")
_PICKLED = (".pkl", ".pickle")
_HDF5 = (".h5", ".hdf5", ".keras")
_MSGPACK = (".msgpack",)
_CONVERT_PYTORCH = (
    "import sys, torch, safetensors.torch as s; "
    'd = torch.load(open(sys.argv[1], "rb"), map_location="cpu", weights_only=True); '
    'usual = ("state_dict", "model_state_dict", "model", "net", "ema"); '
    "d = next((d[k] for k in usual if isinstance(d.get(k), dict)), d); "
    "t = {k: v.clone().contiguous() for k, v in d.items() if torch.is_tensor(v)}; "
    't or sys.exit(f"no tensor found, but {list(d)[:9]}"); '
    "s.save_file(t, sys.argv[2])"  # a clone, as tied weights share memory, which it refuses
)
_CONVERT_PICKLE = (
    "import sys, pickle, numpy as n, flax.traverse_util as t, safetensors.numpy as s; "
    'd = t.flatten_dict(pickle.load(open(sys.argv[1], "rb")), sep="."); '
    "s.save_file({k: n.ascontiguousarray(v) for k, v in d.items()}, sys.argv[2])"
)
_CONVERT_MSGPACK = (
    "import sys, numpy as n, flax.serialization as f, flax.traverse_util as t, "
    "safetensors.numpy as s; "
    'd = t.flatten_dict(f.msgpack_restore(open(sys.argv[1], "rb").read()), sep="."); '
    't = {k: n.ascontiguousarray(v) for k, v in d.items() if hasattr(v, "dtype")}; '
    't or sys.exit("no array found"); s.save_file(t, sys.argv[2])'
)
_CONVERT_HDF5 = (  # Keras numbers the variables of a layer; what is in its path tells their names
    "import io, re, sys, zipfile, h5py, numpy as n; p, t = sys.argv[1], {}; "
    'p = io.BytesIO(zipfile.ZipFile(p).read("model.weights.h5")) if zipfile.is_zipfile(p) else p; '
    'names = {"embedding": "embeddings", "separable": "depthwise_kernel pointwise_kernel bias", '
    '"cell/vars": "kernel recurrent_kernel bias", "": "kernel bias"}; '
    "of = lambda k: next(of for part, of in names.items() if part in k).split(); "
    "name = lambda k: lambda m: dict(enumerate(of(k))).get(int(m[1]), m[0]); "
    'named = lambda k: re.sub("vars/([0-9]+)$", name(k), k.removesuffix(":0")); '
    "keep = lambda k, d: t.update({named(k): d[()]}) if isinstance(d, h5py.Dataset) else None; "
    'h5py.File(p).visititems(keep); t or sys.exit("no array found"); n.savez(sys.argv[2], **t)'
)


def conversion(path: Path) -> str | None:
    """Why a file is not loaded, and the line that converts it; None if there is no need.

    Its format is recognised by its content, then by its name.

    Example:
      >>> import tempfile
      >>> with tempfile.TemporaryDirectory() as folder:
      ...     Path(folder, "net.pt").touch()
      ...     print(conversion(Path(folder, "net.pt")).partition(": python")[0].rpartition("/")[2])
      net.pt can run code when it is loaded; convert it once
    """
    program = _converter(path)
    if program is None:
        return None
    kind = ".npz" if program == _CONVERT_HDF5 else ".safetensors"
    into = path.with_suffix(kind)
    if into.exists():
        into = path.with_suffix(f".converted{kind}")
    line = f"python -c {shlex.quote(program)} {shlex.quote(str(path))} {shlex.quote(str(into))}"
    if program == _CONVERT_HDF5:
        return f"{path} is in HDF5, which is not read; convert it once, where h5py is: {line}"
    if program == _CONVERT_MSGPACK:
        return f"{path} is Flax's msgpack, which is not read; convert it once: {line}"
    trusted = "" if program == _CONVERT_PYTORCH else ", if you trust who made it, as that runs it"
    return f"{path} can run code when it is loaded; convert it once{trusted}: {line}"


def _converter(path: Path) -> str | None:
    """The program that converts a file, None if none is needed or known."""
    with path.open("rb") as file:
        start = file.read(2)
    if path.suffix in _HDF5 or start == b"\x89H":
        return _CONVERT_HDF5
    if path.suffix in _MSGPACK:
        return _CONVERT_MSGPACK
    if path.suffix in _PYTORCH or _holds_data_pkl(path):
        return _CONVERT_PYTORCH
    is_pickle = start[:1] == b"\x80" and start[1:] in (b"\2", b"\3", b"\4", b"\5")
    return _CONVERT_PICKLE if path.suffix in _PICKLED or is_pickle else None


def _holds_data_pkl(path: Path) -> bool:
    """Whether a file is an archive that `torch.save` wrote."""
    try:
        with zipfile.ZipFile(path) as archive:
            return any(name.endswith("data.pkl") for name in archive.namelist())
    except Exception:  # no archive, or one that is damaged in whatever way
        return False
