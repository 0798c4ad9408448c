"""What the tests of inspection share: weights, and files that hold them."""

import numpy as np
import orbax.checkpoint as ocp
from flax import nnx
from safetensors.numpy import save_file

_RNG = np.random.default_rng(0)
DENSE = _RNG.normal(size=(6, 4)).astype(np.float32)  # [in, out]
CONVOLUTION = _RNG.laplace(size=(3, 2, 5, 4)).astype(np.float32)  # [height, width, in, out]
BIAS = _RNG.normal(size=4).astype(np.float32)


def nnx_orbax(folder):
    class Network(nnx.Module):
        def __init__(self):
            self.dense = nnx.Linear(6, 4, rngs=nnx.Rngs(0))
            self.convolution = nnx.Conv(5, 4, (3, 2), rngs=nnx.Rngs(0))

    network = Network()
    network.dense.kernel[...] = DENSE
    network.convolution.kernel[...] = CONVOLUTION
    with ocp.StandardCheckpointer() as writer:
        writer.save(folder / "nnx", nnx.state(network))
    return folder / "nnx"


def group(folder, name, scale, n):
    paths = []
    for i in range(n):
        rng = np.random.default_rng(100 * scale + i)
        weights = rng.normal(size=(40, 30)) * rng.gamma(scale, size=(40, 30))
        paths.append(folder / f"{name}{i}.safetensors")
        save_file({"a.kernel": weights, f"only_{name}.kernel": DENSE}, paths[-1])
    return paths
