import json
import os
import random
import resource
import shutil
import signal
import time
from types import SimpleNamespace

import chex
import jax
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dropout_jax.networks.mlp import MLP
from dropout_jax.populations.blocks import advance
from dropout_jax.populations.checkpoints import Checkpoints, Saved, load, remove, save
from dropout_jax.populations.moment import Moment
from dropout_jax.populations.population import Interrupted, fit_population
from dropout_jax.training.config import Config, Hparams
from tests.blobs import blobs
from tests.drawn import json_values
from tests.forked import PROCESSES

CONFIG = Config(MLP((8, 3)), epochs=4, batch_size=16)
CONDITIONS = [Hparams(rates=(0.0, 0.0)), Hparams(rates=(0.2, 0.5)), Hparams(rates=(0.0, 0.9))]
ONE = Saved(0, [np.ones((2, 3))], 0, [])


def train(**options):
    return fit_population(CONFIG, CONDITIONS, range(3), jax.random.key(0), blobs(), **options)


@pytest.fixture(scope="module")
def whole():
    """A population that never stopped, and every checkpoint of its way."""
    way: list[Saved] = []
    trained = train(checkpoints=Checkpoints(way.append, seconds=0))
    return trained, way


def test_there_is_a_checkpoint_of_every_epoch_and_each_member_is_saved_once(whole):
    _, way = whole
    assert [one.epoch for one in way] == [1, 2, 3, 4] * 5
    assert sum(len(one.done[-1]) for one in way if one.done) == 8  # the last wave came home


@pytest.mark.parametrize("k", [1, 4, 5, 11, 20])
def test_a_resumed_population_ends_with_the_bits_of_one_that_never_stopped(whole, k):
    trained, way = whole
    later: list[Saved] = []
    resumed = train(checkpoints=Checkpoints(later.append, way[:k], seconds=0))
    chex.assert_trees_all_equal(resumed, trained)
    assert len(later) == len(way) - k


def test_on_other_devices_only_the_members_in_flight_begin_again(whole):
    trained, way = whole
    one = jax.local_devices()[:1]
    resumed = train(checkpoints=Checkpoints(lambda _: None, way[:6]), devices=one)
    chex.assert_trees_all_equal(resumed, trained)


def test_an_interrupted_population_is_saved_where_it_stands(whole):
    trained, _ = whole
    way: list[Saved] = []

    def stop(moment: Moment) -> None:
        if moment.done == 2 * 4 + 2 * 3:  # the third epoch of the second wave
            raise KeyboardInterrupt

    with pytest.raises(Interrupted):
        train(checkpoints=Checkpoints(way.append), callback=stop)
    assert [(one.first, one.epoch) for one in way] == [(0, 3)]
    chex.assert_trees_all_equal(train(checkpoints=Checkpoints(way.append, way)), trained)


def test_an_interruption_within_an_epoch_keeps_the_checkpoint_before_it(monkeypatch):
    way: list[Saved] = []

    def interrupted(config, mesh, hparams, flight, shared):
        after = advance(config, mesh, hparams, flight, shared)  # which reuses the memory of flight
        if flight.epoch == 2:
            raise KeyboardInterrupt
        return after

    monkeypatch.setattr("dropout_jax.populations.population.advance", interrupted)
    with pytest.raises(Interrupted):
        train(checkpoints=Checkpoints(way.append, seconds=0))
    assert [one.epoch for one in way] == [1, 2]


def test_a_member_that_was_stopped_stays_so_when_its_wave_is_resumed():
    way: list[Saved] = []

    def stop_the_first(moment: Moment) -> np.ndarray:
        return (moment.conditions == 0) & (moment.epoch == 1)

    options = {"block": 3, "devices": jax.devices()[:1], "callback": stop_the_first}
    trained = train(checkpoints=Checkpoints(way.append, seconds=0), **options)
    assert way[1].epoch == 2
    resumed = train(checkpoints=Checkpoints(lambda _: None, way[:2]), **options)
    chex.assert_trees_all_equal(resumed, trained)
    assert (trained.curve.test.loss[0, :, 1] == trained.curve.test.loss[0, :, -1]).all()
    np.testing.assert_array_equal(resumed.last_epoch, [[1] * 3, [4] * 3, [4] * 3])


def test_checkpoints_of_another_population_are_refused(whole):
    _, way = whole
    for saved in (way, way[:1]):  # the latter holds members in flight alone
        with pytest.raises(ValueError, match="of another population"):
            fit_population(
                Config(MLP((9, 3)), epochs=4, batch_size=16),
                CONDITIONS,
                range(3),
                jax.random.key(0),
                blobs(),
                checkpoints=Checkpoints(lambda _: None, saved),
            )
    with pytest.raises(ValueError, match="incomplete"):
        train(checkpoints=Checkpoints(lambda _: None, way[5:]))


# On disk


def files(folder):
    return {p: p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def test_what_is_saved_comes_back_and_what_is_superseded_goes(whole, tmp_path):
    trained, way = whole
    for one in way[:6]:
        save(tmp_path / "c", one)
    saved = load(tmp_path / "c")
    assert len(saved) == 2  # the members of the first wave, and those in flight
    chex.assert_trees_all_equal(train(checkpoints=Checkpoints(lambda _: None, saved)), trained)


def test_where_there_is_no_checkpoint_none_is_loaded(tmp_path):
    assert load(tmp_path / "c") == []


def test_only_what_a_checkpoint_is_called_counts_as_one_and_is_removed(whole, tmp_path):
    save(tmp_path / "c", whole[1][5])
    foreign = ["\u0663.json", "-1.json", "1.5.json", "notes", "1e3.json"]
    own = ["2.json", "3.orbax-checkpoint-tmp"]  # of a save that was killed
    for name in foreign:
        (tmp_path / "c" / name).touch()
    chex.assert_trees_all_equal(load(tmp_path / "c"), [whole[1][5]])
    for name in own:
        (tmp_path / "c" / name).touch()
    remove(tmp_path / "c")
    assert sorted(path.name for path in (tmp_path / "c").iterdir()) == sorted(foreign)


def test_an_interruption_between_a_save_and_what_follows_it_loses_nothing(whole):
    """The members are saved a second time then, beside those that were done since."""
    trained, way = whole
    done = [one for one in way if one.done]
    again = done[1]._replace(first=done[0].first, done=[*map(both, done[0].done, done[1].done)])
    for saved in ([done[0], again], [done[0], done[0], again, done[1], *way[9:]]):
        chex.assert_trees_all_equal(train(checkpoints=Checkpoints(lambda _: None, saved)), trained)


def both(first, second):
    return np.concatenate([first, second])


def test_an_interruption_between_a_save_and_its_note_goes_on_to_the_same_bits(whole, tmp_path):
    trained, _ = whole
    saves = []

    def save_and_stop(one):
        save(tmp_path / "c", one)
        saves.append(one)
        if len(saves) == 9:
            raise KeyboardInterrupt  # before the population has noted what is saved

    with pytest.raises(Interrupted):
        train(checkpoints=Checkpoints(save_and_stop, seconds=0))
    assert len(saves) == 10
    saved = load(tmp_path / "c")
    chex.assert_trees_all_equal(train(checkpoints=Checkpoints(lambda _: None, saved)), trained)


DAMAGE = {
    "truncated": lambda raw: raw[: len(raw) // 2],
    "changed": lambda raw: bytes(b ^ (i == len(raw) // 2) for i, b in enumerate(raw)),
    "emptied": lambda raw: b"",
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_checkpoint_is_refused_in_one_line_and_kept(whole, tmp_path, damage):
    save(tmp_path / "c", whole[1][5])
    for path, raw in files(tmp_path / "c").items():
        path.write_bytes(DAMAGE[damage](raw))
        before = files(tmp_path)
        with pytest.raises(ValueError, match=r"^the checkpoint .*/1 is damaged: [^\n]+$"):
            load(tmp_path / "c")
        assert files(tmp_path) == before
        path.write_bytes(raw)
    chex.assert_trees_all_equal(load(tmp_path / "c"), [whole[1][5]])


@pytest.mark.slow
def test_every_flipped_bit_of_what_is_told_of_a_checkpoint_is_damage(whole, tmp_path):
    save(tmp_path / "c", whole[1][5])
    told = tmp_path / "c" / "1.json"
    raw = told.read_bytes()
    for bit in range(8 * len(raw)):
        flipped = bytearray(raw)
        flipped[bit // 8] ^= 1 << bit % 8
        told.write_bytes(flipped)
        with pytest.raises(ValueError, match=r"^the checkpoint .*/1 is damaged: [^\n]+$"):
            load(tmp_path / "c")


def fill_up(folder, one, two):
    """In a process of its own: a file-size limit stands for a full disk."""
    save(folder, one)
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (200, 200))
    try:
        save(folder, two)
    except OSError as error:
        os._exit(7 if "could not be saved" in str(error) else 8)
    os._exit(9)


@pytest.mark.slow
def test_a_full_disk_is_an_error_and_keeps_the_last_checkpoint(whole, tmp_path):
    one, two = whole[1][5:7]
    child = PROCESSES.Process(target=fill_up, args=(tmp_path / "c", one, two))
    child.start()
    child.join()
    assert child.exitcode == 7
    (saved,) = load(tmp_path / "c")
    chex.assert_trees_all_equal(saved, one)


# Killed


def test_after_a_kill_before_the_checksums_the_next_save_takes_another_number(tmp_path):
    save(tmp_path, ONE)
    (tmp_path / "2").mkdir()
    (tmp_path / "2" / "part").touch()
    save(tmp_path, ONE._replace(first=2))
    assert [one.first for one in load(tmp_path)] == [0, 2]


def test_a_kill_while_what_is_superseded_is_removed_damages_nothing(tmp_path, monkeypatch):
    def killed(path):
        shutil.rmtree(path)
        raise KeyboardInterrupt

    flight = Saved(0, [], 1, [np.ones(2)])
    save(tmp_path, flight)
    removal = SimpleNamespace(rmtree=killed)
    monkeypatch.setattr("dropout_jax.populations.checkpoints.shutil", removal)
    with pytest.raises(KeyboardInterrupt):
        save(tmp_path, flight._replace(epoch=2))
    assert [one.epoch for one in load(tmp_path)] == [2]


def save_two(folder, both):
    """In a process of its own, which waits to be killed; nothing but a save changes files."""
    for one in both:
        save(folder, one)
    signal.pause()


@pytest.mark.slow
def test_ten_kills_at_random_moments_change_no_bit(whole, tmp_path):
    rng, folder = random.Random(0), tmp_path / "c"
    for _ in range(10):
        before, later = set(folder.glob("*")), []
        resumed = train(checkpoints=Checkpoints(later.append, load(folder), seconds=0))
        chex.assert_trees_all_equal(resumed, whole[0])
        child = PROCESSES.Process(target=save_two, args=(folder, later[:2]))
        child.start()
        while child.is_alive() and set(folder.glob("*")) <= before:
            time.sleep(0.005)  # until it writes its first checkpoint
        time.sleep(rng.uniform(0, 0.1))
        child.kill()
        child.join()
        assert child.exitcode == -signal.SIGKILL
    resumed = train(checkpoints=Checkpoints(lambda _: None, load(folder)))
    chex.assert_trees_all_equal(resumed, whole[0])


@given(content=st.binary() | json_values.map(lambda value: json.dumps(value).encode()))
@settings(max_examples=20)
def test_a_checkpoint_without_its_checksums_is_damaged(content, tmp_path_factory):
    way = tmp_path_factory.mktemp("run") / "checkpoint"
    (way / "1").mkdir(parents=True)
    (way / "1.json").write_bytes(content)
    with pytest.raises(ValueError, match=r"/1 is damaged: ") as caught:
        load(way)
    assert "\n" not in str(caught.value)


def test_a_pipe_is_no_checkpoint_and_is_not_waited_for(tmp_path):
    (tmp_path / "1").mkdir()
    os.mkfifo(tmp_path / "1.json")
    with pytest.raises(ValueError, match=r"/1 is damaged: a file must be written"):
        load(tmp_path)
