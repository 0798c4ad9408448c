"""Files of formats that are not read, and the lines that convert them; some can run code."""

import shlex
import sys
import zipfile
from importlib.util import find_spec
from pathlib import Path

_PYTORCH = (".pt", ".pth", ".bin", ".ckpt")
_PICKLED = (".pkl", ".pickle")
_HDF5 = (".h5", ".hdf5", ".keras")
_MSGPACK = (".msgpack",)
_CONVERT_PYTORCH = (  # a failure is one line: torch's own advise to run what is pickled
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
    's.save_file(t or sys.exit("not converted: no tensor found"), sys.argv[2])'
)  # clones, as tied weights share memory, which safetensors refuses
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
_NEEDED = {_CONVERT_PYTORCH: "torch", _CONVERT_HDF5: "h5py"}  # the others need Flax


def conversion(path: Path) -> str | None:
    """Why a file is not loaded, and the line that converts it; None if there is no need.

    Its format is recognised by its content, then by its name.

    Example:
      >>> import tempfile
      >>> with tempfile.TemporaryDirectory() as folder:
      ...     Path(folder, "net.pt").touch()
      ...     print(conversion(Path(folder, "net.pt")).partition(";")[0].rpartition("/")[2])
      net.pt can run code when it is loaded
    """
    program = _converter(path)
    if program is None:
        return None
    kind = ".npz" if program == _CONVERT_HDF5 else ".safetensors"
    into = path.with_suffix(kind)
    if into.exists():
        into = path.with_suffix(f".converted{kind}")
    needed = _NEEDED.get(program, "flax")
    is_here = find_spec(needed) is not None
    python = sys.executable if is_here else "python"
    line = shlex.join([python, "-c", program, str(path), str(into)])
    once = f"convert it once{'' if is_here else f', where {needed} is'}"
    if program == _CONVERT_HDF5:
        return f"{path} is in HDF5, which is not read; {once}: {line}"
    if program == _CONVERT_MSGPACK:
        return f"{path} is Flax's msgpack, which is not read; {once}: {line}"
    trusted = "" if program == _CONVERT_PYTORCH else ", if you trust who made it, as that runs it"
    return f"{path} can run code when it is loaded; {once}{trusted}: {line}"


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
