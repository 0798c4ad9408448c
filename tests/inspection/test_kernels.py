import re

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import traverse_util

from dropout_jax.inspection.kernels import find_layers
from dropout_jax.inspection.tensors import Tensor


def named(name, array):
    return Tensor(name, array.shape, array.dtype.name, lambda _: array)


def test_the_layout_is_told_from_names_or_given():
    rng = np.random.default_rng(0)
    square = rng.normal(size=(3, 5)).astype(np.float32)
    in_out = ("a.kernel", "a.w", "c.kernel.value", "cell.recurrent_kernel")
    out_in = ("a.weight", "b/weight", "l.weight_hh_l0_reverse", "l.weight_ih", "m.in_proj_weight")
    for names, shape in ((in_out, (3, 5)), (out_in, (5, 3))):
        found, skipped = find_layers([named(name, square) for name in names])
        assert not skipped
        assert [layer.shape for layer in found] == [shape] * len(names)
    found, skipped = find_layers([named("a.theta", square)])
    assert (found, list(skipped)) == ([], ["a.theta"])
    assert "give the layout, in-out or out-in" in skipped["a.theta"]
    for layout, shape in (("in-out", (3, 5)), ("out-in", (5, 3))):
        (layer,), _ = find_layers([named("a.weight", square)], layout)
        assert layer.shape == shape
        kernel = layer.read(0)[0]
        np.testing.assert_array_equal(kernel, square if layout == "in-out" else square.T)


@pytest.mark.parametrize(
    ("name", "array", "why"),
    [
        ("a.bias", np.ones(3), "a vector or a number"),
        ("step", np.array(3.0), "a vector or a number"),
        ("a.weight", np.ones((3, 2), np.int8), "of type int8"),
        ("tok_embeddings.weight", np.ones((3, 2)), "an embedding"),
        ("a.kernel", np.ones((1, 1)), "nothing to compare"),
        ("a.kernel", np.ones((0, 3)), "nothing to compare"),
        ("opt_state.0.mu.a.kernel", np.ones((3, 2)), "state of an optimizer"),
        ("opt.0.mu.a.kernel", np.ones((3, 2)), "state of an optimizer"),
        ("1.0.nu.a.kernel", np.ones((3, 2)), "state of an optimizer"),
        ("state.0.trace.a.w", np.ones((3, 2)), "state of an optimizer"),
        ("wte.weight", np.ones((3, 2)), "an embedding"),
        ("emb_bag.weight", np.ones((3, 2)), "an embedding"),
        ("tok_emb.weight", np.ones((3, 2)), "an embedding"),
        ("a.weight_v", np.ones((3, 2)), "give the layout"),  # its norm is elsewhere
        ("Embed_0.embedding", np.ones((3, 2)), "an embedding"),
        ("pos_embed", np.ones((1, 3, 2)), "an embedding"),
    ],
)
def test_what_is_no_layer_is_listed_with_the_reason(name, array, why):
    found, skipped = find_layers([named(name, array)])
    assert found == []
    assert why in skipped[name]


@pytest.mark.parametrize(
    ("name", "shape"),
    [
        ("patch_embed.proj.weight", (8, 3, 4, 4)),
        ("time_embedding.linear_1.weight", (8, 3)),
        ("embedding.kernel", (4, 4, 3, 8)),
    ],
)
def test_what_embeds_by_a_kernel_is_a_layer(name, shape):
    (layer,), skipped = find_layers([named(name, np.ones(shape, np.float32))])
    assert not skipped
    assert layer.shape[1] == 8


def test_attention_of_flax_is_a_matrix_to_all_heads_and_one_from_them():
    model = nn.MultiHeadDotProductAttention(num_heads=4, qkv_features=12, out_features=5)
    params = model.init(jax.random.key(0), jnp.ones((1, 3, 6)))["params"]
    flat = {".".join(path): leaf for path, leaf in traverse_util.flatten_dict(params).items()}
    found, _ = find_layers([named(name, leaf) for name, leaf in flat.items()])
    shapes = {layer.name: layer.shape for layer in found}
    to_heads = {f"{name}.kernel": (6, 12) for name in ("query", "key", "value")}
    assert shapes == {**to_heads, "out.kernel": (12, 5)}
    (query,) = (layer for layer in found if layer.name == "query.kernel")
    kernel = np.asarray(params["query"]["kernel"])
    np.testing.assert_array_equal(query.read(0)[0][:, 4], kernel[:, 1, 1])  # head 1, its second


@pytest.mark.parametrize(("scales", "is_layer"), [((), True), ((1,), True), ((2, 2), False)])
def test_parts_with_scales_of_their_own_are_not_compared(scales, is_layer):
    rng = np.random.default_rng(0)
    tensors = [
        named("a.weight", rng.normal(size=(4, 6)).astype(np.float32)),
        named("a.weight_scale_inv", np.ones(scales, np.float32)),
    ]
    found, skipped = find_layers(tensors)
    assert [layer.name for layer in found] == ["a.weight"] * is_layer
    assert is_layer or "scales of their own" in skipped["a.weight"]


def test_a_file_is_that_of_a_run_by_kernels_beside_live_inputs_alone():
    rng = np.random.default_rng(0)
    kernel = named("a/0/kernel", rng.normal(size=(7, 5, 3)).astype(np.float32))
    live = named("a/0/live_inputs", np.ones((7, 5), np.float32))
    (layer,), _ = find_layers([kernel, live])
    assert (layer.shape, layer.n_networks) == ((5, 3), 7)
    (layer,), _ = find_layers([kernel])
    assert (layer.shape, layer.n_networks) == ((35, 3), 1)
    (layer,), skipped = find_layers([kernel, live._replace(name="b/0/live_inputs")])
    assert (layer.n_networks, list(skipped)) == (1, ["b/0/live_inputs"])


@pytest.mark.parametrize(
    ("name", "size", "shape"),
    [
        ("up.0.ConvTranspose_1.weight", (8, 4, 3, 3), (72, 4)),
        ("deconv1.weight", (8, 4, 5), (40, 4)),
        ("conv1.weight", (8, 4, 3, 3), (36, 8)),
        ("deconv_head.weight", (8, 4), (4, 8)),  # of an affine layer, whatever it is called
        ("depthwise_conv2d.kernel", (3, 3, 8, 1), (9, 8)),
        ("sep.depthwise_kernel", (3, 3, 8, 2), (9, 16)),
        ("sep.pointwise_kernel", (1, 1, 16, 4), (16, 4)),
        ("conv2d.kernel", (3, 3, 8, 1), (72, 1)),
    ],
)
def test_transposed_and_depthwise_convolutions_are_told_by_their_names(name, size, shape):
    values = np.arange(np.prod(size), dtype=np.float32).reshape(size)
    (layer,), skipped = find_layers([Tensor(name, size, "float32", lambda _: values)])
    kernel = layer.read(0).weights
    assert layer.shape == kernel.shape == shape
    assert skipped == {}
    assert sorted(kernel.ravel()) == sorted(values.ravel())


@pytest.mark.parametrize(
    ("name", "size", "bias", "shape"),
    [
        ("up1.weight", (8, 4, 3, 3), (4,), (72, 4)),
        ("decoder.0.weight", (8, 4, 3), (4,), (24, 4)),
        ("conv1.weight", (8, 4, 3, 3), (8,), (36, 8)),
        ("upconv1.weight", (8, 4, 3, 3), (8,), (36, 8)),  # a convolution behind an upsampling
        ("deconv.weight", (8, 4, 3), (8, 1), (12, 8)),  # Equinox has [out, in, …] everywhere
        ("deconv.weight", (8, 4, 3), (12,), (24, 4)),  # which tells nothing
        ("down.weight", (8, 1, 3, 3), (8,), (9, 8)),  # by channel
        ("fc.weight", (8, 4), (4,), (4, 8)),
    ],
)
def test_a_transposed_convolution_is_told_by_the_length_of_its_bias(name, size, bias, shape):
    kernel = np.arange(np.prod(size), dtype=np.float32).reshape(size)
    tensors = [named(name, kernel), named(name.replace("weight", "bias"), np.ones(bias))]
    (layer,), _ = find_layers(tensors)
    assert layer.shape == shape
    first_unit = layer.read(0).weights[:, 0]
    is_transposed = shape[1] == size[1]
    assert first_unit.tolist() == (kernel[:, 0] if is_transposed else kernel[0]).ravel().tolist()


@pytest.mark.parametrize(
    ("name", "axes", "size", "bias"),  # o and p are the axes of the outputs
    [
        ("conv2_d_transpose.w", "hwoi", (3, 3, 6, 4), (6,)),  # Haiku
        ("up/kernel", "hwoi", (3, 3, 5, 7), (5,)),  # Keras
        ("up.kernel.value", "hwoi", (3, 3, 4, 7), (4,)),  # Flax with transpose_kernel=True
        ("ConvTranspose_0.kernel", "hwio", (3, 3, 4, 7), (7,)),
        ("ConvTranspose_0.kernel", "hwio", (3, 3, 4, 4), (4,)),
        ("conv2d_transpose/kernel", "hwoi", (3, 3, 4, 4), (4,)),
        ("conv2d_transpose/kernel", "hwoi", (3, 3, 5, 7), None),
        ("by_channel/kernel", "hwop", (3, 3, 5, 2), (10,)),  # Keras' depthwise convolution
        ("by_channel.weight", "ophw", (6, 2, 3, 3), (12,)),  # PyTorch's transposed, in 6 groups
        ("deconv.weight", "oihw", (5, 5, 3, 3), (5, 1, 1)),  # Equinox
        ("a.kernel", "iop", (5, 2, 7), (2, 7)),  # Flax's DenseGeneral
        ("a.kernel", "ijop", (3, 5, 2, 7), (2, 7)),
        ("a.kernel", "ijo", (4, 3, 5), (5,)),
        ("query_dense/kernel", "iop", (5, 2, 4), None),  # Keras' attention
        ("a.kernel", "lio", (5, 8, 8), (5, 8)),  # five layers, one after the other
        ("cell/kernel", "io", (2, 12), (2, 12)),  # Keras' GRU has two biases
    ],
)
def test_the_bias_tells_the_axes_of_the_outputs_and_else_the_name(name, axes, size, bias):
    kernel = np.arange(np.prod(size), dtype=np.float32).reshape(size)
    beside = re.sub("(kernel|weight)(?=$|.value)", "bias", name).replace(".w", ".b")
    biases = [] if bias is None else [named(beside, np.ones(bias))]
    (layer,), _ = find_layers([named(name, kernel), *biases])
    last = "".join(sorted(axes, key="op".__contains__))  # inputs keep their order
    n_out = np.prod([n for n, axis in zip(size, axes, strict=True) if axis in "op"])
    expected = np.einsum(f"{axes}->{last}", kernel).reshape(-1, n_out)
    np.testing.assert_array_equal(layer.read(0).weights, expected)
    assert layer.shape == expected.shape


def test_a_unit_of_a_transposed_convolution_holds_all_that_flows_into_one_output():
    kernel = np.zeros((8, 4, 3), np.float32)
    kernel[:, 1] = 1  # all into the second output
    (layer,), _ = find_layers([Tensor("deconv.weight", kernel.shape, "float32", lambda _: kernel)])
    assert layer.read(0)[0].sum(axis=0).tolist() == [0, 24, 0, 0]
