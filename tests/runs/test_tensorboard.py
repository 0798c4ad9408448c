import builtins
import csv
import json

import numpy as np
import pytest
from safetensors.numpy import load_file
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from dropout_jax.cli.main import run_command
from dropout_jax.runs import folder as run_folder
from tests.undrawn import undrawn

TOY = ["train", "--dataset", "digits", "--features", "8", "--epochs", "2", "--seeds", "2"]
TOY += ["--condition", "none", "--condition", "a <b>", "rates=0,0.5", "--tensorboard", "--out"]


pytestmark = pytest.mark.slow  # they train and write whole runs


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    out = tmp_path_factory.mktemp("command") / "run"
    with undrawn():
        assert run_command([*TOY, str(out)]) == 0
    return out


def events_of(folder, condition, seed):
    path = folder / "tensorboard" / condition / str(seed)
    return EventAccumulator(str(path), size_guidance={"histograms": 0}).Reload()


def test_the_scalars_are_those_of_the_curves(folder):
    with (folder / "curves.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    for condition, path in (("none", "0-none"), ("a <b>", "1-a _b_")):
        for seed in (0, 1):
            events = events_of(folder, path, seed)
            for split in ("train", "test"):
                for metric in ("loss", "error"):
                    written = {e.step: e.value for e in events.Scalars(f"{split}/{metric}")}
                    of_member = [
                        r for r in rows if (r["condition"], r["seed"]) == (condition, str(seed))
                    ]
                    expected = {int(r["epoch"]): float(r[f"{split}_{metric}"]) for r in of_member}
                    assert written == pytest.approx(expected)
                    assert len(written) == 3


def test_the_histograms_hold_all_weights_before_and_after(folder):
    tensors = load_file(folder / "weights.safetensors")
    events = events_of(folder, "1-a _b_", 1)
    for layer in (0, 1):
        trees = tensors[f"init/{layer}/kernel"], tensors[f"a <b>/{layer}/kernel"]
        for tag, function in (
            (f"layer_{layer}/w", np.asarray),
            (f"layer_{layer}/magnitude", np.abs),
        ):
            before_and_after = events.Histograms(tag)
            assert [event.step for event in before_and_after] == [0, 2]
            for event, tensor in zip(before_and_after, trees, strict=True):
                values = function(tensor[1]).astype(np.float64)
                assert event.histogram_value.num == values.size
                np.testing.assert_allclose(event.histogram_value.sum, values.sum(), rtol=1e-6)


@undrawn()
def test_an_overwritten_run_leaves_no_events(folder, tmp_path):
    events = "tensorboard/none/0/events"
    (tmp_path / events).parent.mkdir(parents=True)
    (tmp_path / events).touch()
    run_folder.begin(tmp_path, {})
    run_folder.update(tmp_path, files=[events])
    without = [word for word in TOY if word != "--tensorboard"]
    assert run_command([*without, str(tmp_path), "--overwrite"]) == 0
    assert not (tmp_path / "tensorboard").exists()
    config, same = (json.loads((at / "config.json").read_text()) for at in (folder, tmp_path))
    assert config == same


def test_without_tensorboardx_one_line_says_how_to_install_it(tmp_path, capsys, monkeypatch):
    imported = builtins.__import__

    def refuse(name, *args, **kwargs):
        if name == "tensorboardX":
            raise ModuleNotFoundError(name)
        return imported(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", refuse)
    assert run_command([*TOY, str(tmp_path / "run")]) == 2
    output = capsys.readouterr().err
    assert output == (
        "dropout-jax: --tensorboard needs tensorboardX: pip install 'dropout_jax[tensorboard]'\n"
    )
    assert not (tmp_path / "run").exists()
