import json
import statistics
from pathlib import Path
from types import SimpleNamespace

import jax
import numpy as np
import pytest

from dropout_jax.cli import doctor, pace
from dropout_jax.cli.main import run_command
from dropout_jax.data import load_dataset
from dropout_jax.io import environment
from dropout_jax.networks.mlp import MLP
from dropout_jax.training.config import Config, Hparams

OPTIONS = {
    "jax_threefry_partitionable": True,
    "jax_enable_x64": False,
    "jax_default_matmul_precision": None,
}
ROOT = jax.random.key(0)
ROOT_FOLDER = Path(__file__).parents[2]


def good(findings):
    return [one.good for one in findings]


@pytest.mark.slow
def test_a_network_is_found_to_be_the_same_again_and_alone():
    found = doctor.check_exact(ROOT, OPTIONS, {"cpu"})
    assert good(found) == [True]
    assert "the same bits" in found[0].message


def test_other_bits_are_seen(monkeypatch):
    noise = np.random.default_rng(0)

    def fit(*_):
        return SimpleNamespace(params=noise.normal(size=(1, 2, 3)))

    monkeypatch.setattr(doctor, "fit_population", fit)
    found = doctor.check_exact(ROOT, OPTIONS, {"cpu"})
    assert good(found) == [False]
    assert "other bits" in found[0].message


@pytest.mark.parametrize(
    ("changed", "platform", "named"),
    [
        ({"jax_threefry_partitionable": False}, "cpu", "jax_threefry_partitionable is off"),
        ({"jax_enable_x64": True}, "cpu", "jax_enable_x64 is on"),
        ({}, "gpu", "TF32"),
    ],
)
def test_options_that_change_bits_are_named(changed, platform, named, monkeypatch):
    fit = SimpleNamespace(params=np.zeros((1, 2, 3)))
    monkeypatch.setattr(doctor, "fit_population", lambda *_: fit)
    first, second = doctor.check_exact(ROOT, {**OPTIONS, **changed}, {platform})
    assert first.good
    assert not second.good
    assert named in second.message


def test_what_slows_a_run_is_named(monkeypatch):
    monkeypatch.setattr(doctor.os, "getloadavg", lambda: (0.0, 0, 0), raising=False)
    (found,) = doctor.check_fast({}, {"gpu"})
    half = ", and at most half of the cores are busy"
    assert (found.good, found.message) == (True, f"no option of JAX slows it{half}")
    (found,) = doctor.check_fast({"jax_disable_jit": True}, {"gpu"})
    assert (found.good, "jax_disable_jit is on" in found.message) == (False, True)
    monkeypatch.setattr(doctor.os, "getloadavg", lambda: (1e3, 0, 0))
    (found,) = doctor.check_fast({}, {"gpu"})
    assert (found.good, "a load of 1000.0" in found.message) == (False, True)
    monkeypatch.delattr(doctor.os, "getloadavg")  # as on Windows
    (found,) = doctor.check_fast({}, {"gpu"})
    assert (found.good, found.message) == (True, "no option of JAX slows it")


def test_a_slower_machine_is_told_with_the_reason():
    record = doctor.Machine(4, 512, 200.0)
    unseen = "vectors carried out in halves, a slower clock, or other programs running"
    assert doctor.check_speed(doctor.Machine(4, 512, 190.0), record).good
    reasons = {
        doctor.Machine(2, 512, 100.0): "it has 4 cores, not 2",
        doctor.Machine(
            2, 256, 50.0
        ): "it has 4 cores, not 2 and its vectors have 512 bits, not 256",
        doctor.Machine(4, None, 100.0): unseen,
        doctor.Machine(4, 512, 100.0): unseen,
    }
    for machine, reason in reasons.items():
        found = doctor.check_speed(machine, record)
        assert not found.good
        assert found.message.endswith(reason)


def test_the_machine_to_compare_with_is_that_of_the_record():
    record = ROOT_FOLDER / "experiments" / "results" / "benchmark"
    environment = json.loads((record / "environment.json").read_text("utf-8"))
    assert doctor.RECORD.vector_bits == environment["vector_bits"]
    assert environment["machine"].endswith(f", {doctor.RECORD.cores} cores")
    rows = json.loads((record / "summary.json").read_text("utf-8"))["rows"]
    speeds = [row["gflops"] for row in rows if row["contender"] == "a product of 2048"]
    assert doctor.RECORD.gflops == pytest.approx(statistics.median(speeds), rel=0.01)


def test_an_accelerator_that_jax_does_not_use_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr(doctor.os, "getloadavg", lambda: (0.0, 0, 0), raising=False)
    there, absent = tmp_path / "nvidia0", tmp_path / "accel0"
    there.touch()
    monkeypatch.setattr(doctor, "ACCELERATORS", {str(there): "cuda13", str(absent): "tpu"})
    (found,) = doctor.check_fast({}, {"cpu"})
    assert "pip install 'dropout_jax[cuda13]'" in found.message
    assert good(doctor.check_fast({}, {"gpu"})) == [True]


def test_the_room_is_thrice_that_of_the_trained_weights_and_one_init():
    config = Config(MLP((3, 2)))
    bytes_of_one = 4 * ((5 * 3) + (4 * 2))
    assert doctor.check_disk_space(config, 2, 10, 4, free=90 * bytes_of_one + 1).good
    found = doctor.check_disk_space(config, 2, 10, 4, free=90 * bytes_of_one)
    assert (found.good, found.message) == (
        False,
        "the run takes up to 0.0 MB, and 0 MB are free",
    )


@pytest.mark.parametrize(
    ("epochs", "seconds"),
    [
        (2, 10 * 2 * 3.0),  # 20 members in waves of two; the curve is measured at every epoch
        (20, 10 * (10 * 3.0 + 10 * 1.0)),  # at every other epoch
    ],
)
def test_a_run_takes_its_waves_times_its_epochs_of_either_kind(epochs, seconds, monkeypatch):
    now = 0.0

    def start(*_):
        nonlocal now
        now += 5  # to compile
        return SimpleNamespace(epoch=0)

    def advance(config, mesh, hparams, flight, data):
        nonlocal now
        now += 3 if flight.epoch + 1 in pace.curve_epochs(config.epochs) else 1
        return SimpleNamespace(epoch=flight.epoch + 1)

    monkeypatch.setattr(pace, "start", start)
    monkeypatch.setattr(pace, "advance", advance)
    monkeypatch.setattr(pace, "perf_counter", lambda: now)
    config = Config(MLP((8, 10)), epochs=epochs)
    conditions = [Hparams((0.0, r)) for r in (0.0, 0.5)]
    data = load_dataset("digits")
    took = pace.pace(config, conditions, 10, ROOT, data)
    assert took.training == pytest.approx(seconds)
    assert took.compilation == pytest.approx(5 if epochs == 2 else 3, abs=2)


@pytest.mark.slow
def test_the_doctor_says_all_of_it(capsys, monkeypatch):
    monkeypatch.setattr(environment, "_processor", lambda: ("a processor", 512))
    toy = ["--dataset", "digits", "--features", "8", "--epochs", "2", "--seeds", "2"]
    assert run_command(["doctor", *toy]) == 0
    output = " ".join(capsys.readouterr().out.split())
    for about in (
        "versions",
        "vectors of 512 bits",
        "devices",
        "speed",
        "products at",
        "threefry2x32",
        "room",
        "fast",
        "exact",
        "3 × 2 networks",
    ):
        assert about in output


def test_the_doctor_refuses_what_cannot_be_trained(capsys):
    assert run_command(["doctor", "--dataset", "nope"]) == 2
    assert capsys.readouterr().err.startswith("dropout-jax: dataset must be")


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (3, "3 seconds"),
        (119, "119 seconds"),
        (600, "10 minutes"),
        (6e3, "100 minutes"),
        (9e3, "2.5 hours"),
    ],
)
def test_a_duration_has_the_digits_of_an_estimate(seconds, said):
    assert doctor.duration(seconds) == said
