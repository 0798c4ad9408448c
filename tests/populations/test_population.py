import inspect
import itertools
import math
from typing import Any, cast

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dropout_jax.data import Dataset
from dropout_jax.networks.mlp import MLP, layers
from dropout_jax.populations import blocks, devices, memory, population
from dropout_jax.populations.checkpoints import Checkpoints, Saved
from dropout_jax.populations.members import as_seeds, member_key, stack_conditions
from dropout_jax.populations.memory import block_size, member_bytes
from dropout_jax.populations.moment import Moment
from dropout_jax.populations.population import Interrupted, fit_population
from dropout_jax.training.config import Config, Hparams
from dropout_jax.training.epochs import fit, train_epoch
from tests.blobs import blobs
from tests.drawn import anything
from tests.refusals import (
    assert_advises_on_a_key,
    assert_refused_in_one_short_line,
    bad_keys,
    is_let_in,
    outcome,
)
from tests.starts import init, uniform

CONFIG = Config(MLP((8, 3), kernel_init=uniform), epochs=3, batch_size=16)
NONE = Hparams(rates=(0.0, 0.0))
DROPOUT = Hparams(rates=(0.2, 0.5))
L2 = Hparams(rates=(0.0, 0.0), weight_decay=1e-2)
CONDITIONS = [NONE, DROPOUT, L2]


DATA = blobs()


def root() -> jax.Array:
    return jax.random.key(0)


@pytest.fixture(scope="module")
def trained() -> population.Population:
    return fit_population(CONFIG, CONDITIONS, range(3), root(), DATA)


def member(trained: population.Population, c: int, s: int):
    return jax.tree.map(lambda leaf: leaf[c, s], trained.params)


def test_every_array_has_conditions_and_seeds_in_front(trained):
    kernel = layers(trained.params)[0]["kernel"]
    assert kernel.shape == (3, 3, 5, 8)
    assert trained.curve.train.loss.shape == (3, 3, len(trained.epochs))
    assert trained.epochs[0] == 0
    assert trained.epochs[-1] == CONFIG.epochs


def test_conditions_share_the_init_of_their_seed_and_seeds_do_not(trained):
    kernel = layers(trained.init_params)[0]["kernel"]
    np.testing.assert_array_equal(kernel[0], kernel[1])
    np.testing.assert_array_equal(kernel[0], kernel[2])
    assert not np.any(kernel[0, 0] == kernel[0, 1])
    alone = init(CONFIG, NONE, member_key(root(), 1), 5).params
    np.testing.assert_allclose(kernel[0, 1], layers(alone)[0]["kernel"], rtol=1e-6)


def test_members_end_apart(trained):
    kernel = layers(trained.params)[0]["kernel"].reshape(9, -1)
    assert len(np.unique(kernel, axis=0)) == 9


def test_a_member_is_the_member_trained_alone_by_fit(trained):
    for c, hparams in enumerate(CONDITIONS):
        hparams = hparams._replace(rates=jnp.array(hparams.rates))
        alone, curve = fit(CONFIG, hparams, member_key(root(), 2), DATA)
        chex.assert_trees_all_close(member(trained, c, 2), alone.params, rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(trained.curve.test.loss[c, 2, 1:], curve.test.loss, rtol=1e-4)


def test_a_member_is_the_same_bit_for_bit_alone_and_in_a_larger_population(trained):
    alone = fit_population(CONFIG, [DROPOUT], [1], root(), DATA)
    chex.assert_trees_all_equal(member(alone, 0, 0), member(trained, 1, 1))


@pytest.mark.slow
def test_a_population_grows_beyond_a_block_without_changing_its_earlier_members():
    small, large = (
        fit_population(CONFIG, [DROPOUT], range(n), root(), DATA, block=3) for n in (1, 10)
    )
    chex.assert_trees_all_equal(member(small, 0, 0), member(large, 0, 0))


@pytest.mark.parametrize("n_members", [1, 30, 32, 33, 300])
def test_the_block_of_an_accelerator_is_the_same_however_many_members_there_are(
    n_members, monkeypatch
):
    class Accelerator:
        platform, process_index = "gpu", 0

        def memory_stats(self):
            return {}

    def stop(devices, n_blocks):
        raise InterruptedError(n_blocks)

    monkeypatch.setattr(memory, "device_mesh", stop)
    with pytest.raises(InterruptedError) as caught:
        fit_population(CONFIG, [NONE], range(n_members), root(), DATA, devices=[Accelerator()])
    assert caught.value.args == (-(-n_members // memory._BLOCK),)


@pytest.mark.parametrize("n_devices", [1, 2])
def test_devices_do_not_change_a_bit(trained, n_devices):
    devices = jax.local_devices()[:n_devices]
    assert len(devices) == n_devices
    again = fit_population(CONFIG, CONDITIONS, range(3), root(), DATA, devices=devices)
    chex.assert_trees_all_equal(again.params, trained.params)


@pytest.mark.parametrize("block", [5, 9])
def test_blocks_that_do_not_divide_the_members_give_the_same_to_rounding(trained, block):
    again = fit_population(CONFIG, CONDITIONS, range(3), root(), DATA, block=block)
    chex.assert_trees_all_close(again.params, trained.params, rtol=1e-4, atol=1e-5)


def test_one_program_serves_all_conditions_and_seeds(monkeypatch):
    chex.clear_trace_counter()
    once = chex.assert_max_traces(inspect.unwrap(blocks.train_blocks), n=1)
    compiled = jax.jit(once, static_argnames=("config", "mesh"))
    monkeypatch.setattr(blocks, "train_blocks", compiled)
    fit_population(CONFIG, CONDITIONS, range(4), root(), DATA)


@pytest.mark.parametrize("block", [1, 3])
def test_the_compiled_program_spans_all_devices_and_holds_no_collective(block):
    n = 2 * block
    mesh = devices.device_mesh(jax.local_devices()[:2])
    hparams = jax.tree.map(jnp.asarray, stack_conditions(CONDITIONS[:1] * n))
    keys = jax.vmap(lambda seed: member_key(root(), seed))(np.arange(n, dtype=np.uint32))
    hparams, keys = devices.shard_members(mesh, (hparams, keys))
    data = devices.share(mesh, DATA)
    state = blocks.init_blocks(CONFIG, mesh, hparams, keys, data)
    lowered = blocks.train_blocks.lower(CONFIG, mesh, hparams, state, data)
    text = str(lowered.compile().as_text())
    assert "fusion" in text
    assert "num_partitions=2" in text
    for collective in ("all-reduce", "all-gather", "all-to-all", "collective-permute"):
        assert collective not in text


def test_the_data_are_put_on_the_devices_once(monkeypatch):
    puts = []
    device_put = jax.device_put
    monkeypatch.setattr(
        jax,
        "device_put",
        lambda tree, device: (puts.append(isinstance(tree, Dataset)), device_put(tree, device))[1],
    )
    fit_population(CONFIG, CONDITIONS, range(2), root(), DATA)
    assert sum(puts) == 1


def test_philox_keys_serve_one_device():
    key = jax.random.key(0, impl="philox2x32")
    one = jax.local_devices()[:1]
    trained = fit_population(CONFIG, [DROPOUT], range(2), key, DATA, devices=one)
    assert np.isfinite(trained.curve.train.loss).all()
    with pytest.raises(ValueError, match=r"philox2x32 keys serve one device, .* got 2"):
        fit_population(CONFIG, [DROPOUT], range(2), key, DATA)


@pytest.mark.parametrize("block", [1, 3])
def test_a_member_that_diverges_does_not_change_a_bit_of_the_others(block):
    wild = DROPOUT._replace(learning_rate=1e30)
    calm = fit_population(CONFIG, [NONE, L2, DROPOUT], range(2), root(), DATA, block=block)
    with_it = fit_population(CONFIG, [NONE, L2, wild], range(2), root(), DATA, block=block)
    assert not np.isfinite(with_it.curve.train.loss[2, :, -1]).any()
    for c in (0, 1):
        chex.assert_trees_all_equal(
            jax.tree.map(lambda leaf, c=c: leaf[c], with_it.params),
            jax.tree.map(lambda leaf, c=c: leaf[c], calm.params),
        )


def test_members_are_kept_where_the_caller_says(trained, tmp_path):
    files = iter(range(100))

    def allocate(shape, dtype):
        return np.memmap(tmp_path / str(next(files)), dtype, "w+", shape=shape)

    again = fit_population(CONFIG, CONDITIONS, range(3), root(), DATA, allocate=allocate)
    assert all(isinstance(leaf.base, np.memmap) for leaf in jax.tree.leaves(again.params))
    chex.assert_trees_all_equal(again, trained)


def test_progress_counts_the_epochs_of_members_up_to_the_total():
    calls = []
    fit_population(
        CONFIG, [NONE, L2], range(3), root(), DATA, callback=lambda moment: calls.append(moment)
    )
    done = [moment.done for moment in calls]
    assert done == sorted(done)
    assert done[-1] == 18
    assert {moment.total for moment in calls} == {18}


def test_a_callback_sees_each_member_after_each_epoch(trained):
    seen = {}

    def note(moment: Moment) -> None:
        for n, member in enumerate(zip(moment.seeds, moment.conditions, strict=True)):
            seen[*member, moment.epoch] = jax.tree.map(lambda a, n=n: a[n], moment.params)
            assert not moment.stopped.any()
        shown = jax.tree.leaves((moment.params, moment.curve, moment.stopped))
        assert {len(leaf) for leaf in shown} == {len(moment.seeds)}

    fit_population(CONFIG, CONDITIONS, range(3), root(), DATA, callback=note, block=1)
    assert len(seen) == 3 * 3 * CONFIG.epochs
    for seed, c in itertools.product(range(3), range(3)):
        alone = init(CONFIG, CONDITIONS[c], member_key(root(), seed), 5)
        for epoch in range(1, CONFIG.epochs + 1):
            alone, _ = train_epoch(CONFIG, CONDITIONS[c], alone, DATA.x_train, DATA.y_train)
            params = seen[seed, c, epoch]
            chex.assert_trees_all_close(params, alone.params, rtol=1e-4, atol=1e-5)
        chex.assert_trees_all_equal(seen[seed, c, CONFIG.epochs], member(trained, c, seed))


@pytest.mark.parametrize("block", [1, 3])
def test_a_stopped_member_keeps_its_weights_and_the_others_go_on_as_before(block):
    def stop_dropout(moment: Moment) -> np.ndarray:
        return (moment.conditions == 1) & (moment.epoch == 2)

    after_two = {}

    def note_dropout(moment: Moment) -> None:
        if moment.epoch == 2:
            for n, seed in enumerate(moment.seeds):
                if moment.conditions[n] == 1:
                    after_two[int(seed)] = jax.tree.map(lambda a, n=n: a[n], moment.params)

    def trained(callback) -> population.Population:
        options = {"block": block, "devices": jax.devices()[:1], "callback": callback}
        return fit_population(CONFIG, CONDITIONS, range(2), root(), DATA, **options)

    whole, stopped = trained(note_dropout), trained(stop_dropout)
    for seed in range(2):
        chex.assert_trees_all_equal(member(stopped, 1, seed), after_two[seed])
    for c in (0, 2):
        chex.assert_trees_all_equal(
            jax.tree.map(lambda a, c=c: a[c], stopped.params),
            jax.tree.map(lambda a, c=c: a[c], whole.params),
        )
    loss = stopped.curve.test.loss
    np.testing.assert_array_equal(loss[1, :, 2], loss[1, :, 3])
    assert (loss[0, :, 2] != loss[0, :, 3]).all()
    np.testing.assert_array_equal(stopped.last_epoch, [[3, 3], [2, 2], [3, 3]])


def test_a_wave_that_is_stopped_is_not_trained_any_further(monkeypatch):
    epochs = []
    train = blocks.train_blocks
    monkeypatch.setattr(blocks, "train_blocks", lambda *args: epochs.append(0) or train(*args))
    fit_population(
        CONFIG, [NONE], 3, root(), DATA, block=3, callback=lambda moment: np.ones(3, bool)
    )
    assert len(epochs) == 1


@pytest.mark.parametrize(
    "wrong", [True, np.ones(3, int), np.ones((1, 3), bool), np.ones(99, bool), np.zeros(0, bool)]
)
def test_a_callback_that_returns_no_bools_of_members_is_refused(wrong):
    with pytest.raises(ValueError, match="must return None or a bool for each member, got"):
        fit_population(CONFIG, CONDITIONS, 1, root(), DATA, callback=lambda moment: wrong)


def test_an_interrupt_keeps_the_seeds_that_are_complete(trained):
    def stop(moment: Moment) -> None:
        if moment.done > 8 * CONFIG.epochs:  # within the last wave: two seeds are complete
            raise KeyboardInterrupt

    with pytest.raises(Interrupted) as caught:
        fit_population(CONFIG, CONDITIONS, range(3), root(), DATA, callback=stop)
    assert caught.value.partial is not None
    assert caught.value.partial.curve.train.loss.shape[:2] == (3, 2)
    expected = jax.tree.map(lambda leaf: leaf[:, :2], trained.params)
    chex.assert_trees_all_equal(caught.value.partial.params, expected)


def test_on_a_full_disk_an_interrupt_still_keeps_the_seeds_that_are_complete():
    def stop(moment: Moment) -> None:
        if moment.done > 8 * CONFIG.epochs:
            raise KeyboardInterrupt

    def fill_up(_: Saved) -> None:
        raise OSError("no space left")

    full = Checkpoints(fill_up, seconds=math.inf)
    with pytest.raises(Interrupted) as caught:
        fit_population(CONFIG, CONDITIONS, range(3), root(), DATA, callback=stop, checkpoints=full)
    assert caught.value.partial is not None
    assert "no space left" in str(caught.value.__cause__)


def test_an_interrupt_before_the_first_seed_keeps_nothing():
    def stop(moment: Moment) -> None:
        raise KeyboardInterrupt

    with pytest.raises(Interrupted) as caught:
        fit_population(CONFIG, CONDITIONS, range(3), root(), DATA, callback=stop)
    assert caught.value.partial is None


A_LAYER, NUMBER = "one rate per layer, 2 in all, got shape", cast(Any, 0.5)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"seeds": []}, "seeds must be distinct"),
        ({"seeds": 0}, "seeds must be distinct integers"),
        ({"seeds": [1, 1]}, "seeds must be distinct"),
        ({"seeds": [-1]}, "seeds must be distinct"),
        ({"seeds": [2**32]}, "seeds must be distinct"),
        ({"seeds": 3.0}, "seeds must be distinct integers .* got 3.0"),
        ({"seeds": True}, "seeds must be distinct integers .* got True"),
        ({"conditions": NONE}, "conditions must be a list of Hparams, got Hparams"),
        ({"conditions": {"none": NONE}}, "conditions must be a list of Hparams, got dict"),
        ({"conditions": [NONE, 0.5]}, "each condition must be an Hparams, got float"),
        ({"data": tuple(DATA)}, "data must be a Dataset, got tuple"),
        ({"callback": 5}, "callback must be a function of a Moment, got 5"),
        ({"conditions": []}, "at least one condition"),
        ({"conditions": [NONE, Hparams()]}, "same hyper-parameters"),
        ({"conditions": [NONE, Hparams(rates=(0.5,))]}, "same hyper-parameters"),
        ({"conditions": [Hparams(rates=(0.5, 1.5))]}, r"rates must lie in \[0, 1\], got 1.5"),
        ({"conditions": [NONE, Hparams(rates=(0.5, 1.5))]}, r"rates must lie in \[0, 1\], got 1.5"),
        ({"conditions": [Hparams(rates=(0.5,))]}, rf"{A_LAYER} \(1,\)"),
        ({"conditions": [Hparams(rates=(0.1, 0.2, 0.3))]}, rf"{A_LAYER} \(3,\)"),
        ({"conditions": [Hparams(rates=NUMBER)]}, rf"{A_LAYER} \(\)"),
        ({"key": jax.random.key(0, impl="rbg")}, "a key of threefry2x32, .*, got rbg: "),
        (  # programs of this generator are never compiled
            {"key": jax.random.key(0, impl="threefry4x32")},
            "a key of .*, got threefry4x32: XLA does not compile",
        ),
        ({"config": Config(MLP((8, 3)), batch_size=51)}, "51 training examples, got 50"),
        ({"devices": []}, "devices must hold at least one, got none"),
        ({"config": MLP((8, 3))}, "config must be a Config, got MLP"),
        ({"checkpoints": "folder"}, "checkpoints must be Checkpoints, got str"),
    ],
)
def test_bad_arguments_are_refused_in_one_line_before_anything_is_allocated(change, message):
    def allocate(*_):
        pytest.fail("allocated")

    arguments = {"config": CONFIG, "conditions": CONDITIONS, "seeds": [0], "key": root()}
    with pytest.raises((TypeError, ValueError), match=message) as caught:
        fit_population(**(arguments | {"data": DATA} | change), allocate=allocate)
    assert "\n" not in str(caught.value)


def test_a_number_of_seeds_means_the_first_of_them():
    assert as_seeds(3) == [0, 1, 2]
    assert as_seeds(range(2, 4)) == as_seeds(np.arange(2, 4)) == [2, 3]
    assert [type(seed) for seed in as_seeds(cast(Any, jax.numpy.arange(2)))] == [int, int]


def test_the_number_of_seeds_may_be_numpys():
    assert as_seeds(np.int64(2)) == [0, 1]  # pyright: ignore[reportArgumentType]  it is let in


TAKE_A_KEY = {
    "member_key": lambda key: member_key(key, 0),
    "fit_population": lambda key: fit_population(CONFIG, [Hparams()], [0], key, DATA),
}


@bad_keys
@pytest.mark.parametrize("call", TAKE_A_KEY.values(), ids=TAKE_A_KEY)
def test_a_key_of_the_wrong_kind_gets_advice(call, make, message):
    assert_advises_on_a_key(call, make, message)


@given(conditions=st.lists(anything, min_size=1))
def test_conditions_are_hyper_parameters_or_refused(conditions):
    assert outcome(stack_conditions, conditions) is None


@given(seeds=st.lists(st.integers(-2, 2**33) | st.integers(0, 3) | anything, max_size=4))
def test_seeds_are_distinct_words_of_32_bits_or_refused(seeds):
    good = len(seeds) > 0 and all(isinstance(s, int) and 0 <= s < 2**32 for s in seeds)
    good = good and len(set(seeds)) == len(seeds)
    let_in = is_let_in(fit_population, CONFIG, [Hparams()], seeds, root(), DATA)
    assert let_in == good
    for seed in seeds:
        key = outcome(member_key, root(), seed)
        assert (key is not None) == (isinstance(seed, int) and 0 <= seed < 2**32)


def test_seeds_may_be_integers_of_numpy_and_jax():
    keys = [member_key(root(), seed) for seed in (3, np.array(3), np.int64(3), jnp.uint32(3))]
    assert all(keys[0] == key for key in keys)


@given(block=st.integers(-3, 3) | st.none(), memory=st.floats() | st.none())
def test_blocks_are_of_a_member_or_more_and_memory_holds_one(block, memory):
    def run():
        return fit_population(CONFIG, [Hparams()], [0], root(), DATA, block=block, memory=memory)

    enough = memory is None or memory >= member_bytes(CONFIG, 5)
    assert is_let_in(run) == (enough if block is None else block >= 1)
    size = outcome(block_size, CONFIG, 5, jax.devices(), memory)
    assert size == (1 if enough else None)


@pytest.mark.parametrize(
    "call",
    [
        lambda: stack_conditions([Hparams(rates=np.arange(9_999.0))]),
        lambda: fit_population(CONFIG, [Hparams()], [*range(9_999), 7], root(), DATA),
    ],
    ids=["rates", "seeds"],
)
def test_a_refusal_of_much_is_still_one_short_line(call):
    assert_refused_in_one_short_line(call)
