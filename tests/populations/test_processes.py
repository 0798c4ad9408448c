"""Several processes, and other numbers of devices, against this process with its two devices."""

import itertools
import json
import os
import re
import signal
import socket
import sys
import time
from multiprocessing.process import BaseProcess
from pathlib import Path

import chex
import jax
import numpy as np
import pytest

from dropout_jax.cli.arguments import Compare
from dropout_jax.cli.checks import check
from dropout_jax.cli.main import main, run_command
from dropout_jax.populations import processes
from tests.forked import start
from tests.populations.computed import SENT, compute
from tests.undrawn import undrawn

LINE = "compare --dataset digits --features 8 --seeds 2 --epochs 8"
COMPARE = LINE.split()


def free_port() -> int:
    with socket.socket() as of_system:
        of_system.bind(("127.0.0.1", 0))
        return of_system.getsockname()[1]


def said(log: Path, name: str = "err") -> str:
    return log.with_suffix(f".{name}").read_text("utf-8")


def start_compare(log: Path, out: Path, process: int, port: int) -> BaseProcess:
    at = f"--distributed --coordinator 127.0.0.1:{port} --num-processes 2 --process-id {process}"
    return start(
        log, command, [*COMPARE, "--out", str(out), "--checkpoint-seconds", "0", *at.split()]
    )


# In processes of their own


def command(argv):
    sys.argv = ["dropout-jax", *argv]
    main()


def work(n_devices, port, n_processes, process, out):
    jax.config.update("jax_num_cpu_devices", n_devices)
    if n_processes > 1:
        processes.connect(f"127.0.0.1:{port}", n_processes, process)
    assert jax.device_count() == n_devices * n_processes
    results = compute()
    if processes.is_first():
        np.savez(out, *results)
    jax.distributed.shutdown()  # waits for the other


def talk(port, told, process, out):
    jax.config.update("jax_num_cpu_devices", 1)
    processes.connect(f"127.0.0.1:{port}", told, process)
    links = [os.readlink(entry) for entry in Path("/proc/self/fd").iterdir() if entry.is_symlink()]
    tables = [Path(f"/proc/net/{of}").read_text().splitlines()[1:] for of in ("tcp", "tcp6")]
    lines = [line.split() for line in itertools.chain(*tables)]
    mine = [line[1] for line in lines if line[3] == "0A" and f"socket:[{line[9]}]" in links]
    print(
        "listens at", *[address for address in mine if address.endswith(f":{port:04X}")], flush=True
    )
    found = processes.from_first_process(SENT if processes.is_first() else ["of no interest"])
    assert found[0] == SENT[0]
    assert np.isnan(found[1].pop("nan"))
    assert found[1] == {"tuple": [1, 2], "text": "é", "none": None}
    np.savez(out, *(leaf for tree in found[2:] for leaf in [tree[0], *tree[1], tree[2], *tree[3]]))
    jax.distributed.shutdown()  # waits for the others


def wait(port, process):
    signal.alarm(300)  # ends it if nobody is left who does
    jax.config.update("jax_num_cpu_devices", 1)
    processes.connect(f"127.0.0.1:{port}", 2, process)
    print("connected", flush=True)
    while not processes.anywhere(False):
        pass


# In this one


@pytest.fixture(scope="module")
def here():
    return compute()


@pytest.mark.slow
def test_one_device_computes_the_same_bits_as_two(here):
    chex.assert_trees_all_equal(here, compute(jax.devices()[:1]))


@pytest.mark.slow
@pytest.mark.parametrize(("n_devices", "n_processes"), [(8, 1), (2, 2)])
def test_masks_batches_weights_and_metrics_are_the_same_bits(
    n_devices, n_processes, here, tmp_path
):
    port, out = free_port(), tmp_path / "results.npz"
    logs = [tmp_path / str(process) for process in range(n_processes)]
    workers = [
        start(log, work, n_devices, port, n_processes, process, out)
        for process, log in enumerate(logs)
    ]
    for worker, log in zip(workers, logs, strict=True):
        worker.join(120)
        assert worker.exitcode == 0, said(log)[-3000:]
    with np.load(out) as there:
        chex.assert_trees_all_equal(here, list(there.values()))


def wait_until(done, *running):
    until = time.monotonic() + 120
    while not done():
        assert time.monotonic() < until
        assert all(process.is_alive() for process in running)
        time.sleep(0.02)


@pytest.mark.slow
def test_where_the_first_process_dies_the_other_ends(tmp_path):
    port, logs = free_port(), (tmp_path / "first", tmp_path / "other")
    first, other = [start(log, wait, port, process) for process, log in enumerate(logs)]
    wait_until(lambda: logs[0].with_suffix(".out").exists() and said(logs[0], "out"), first, other)
    first.kill()
    other.join(processes._HEARTBEAT_SECONDS + 30)
    assert other.exitcode not in (None, 0, -signal.SIGKILL), said(logs[1])


@pytest.mark.slow
def test_where_another_process_dies_the_first_ends_and_the_run_goes_on(tmp_path):
    folder, port, log = tmp_path / "run", free_port(), tmp_path / "first"
    first = start_compare(log, folder, 0, port)
    other = start_compare(tmp_path / "other", folder, 1, port)
    wait_until(lambda: list(folder.glob("checkpoint/*.json")), first, other)
    other.kill()
    first.join(processes._HEARTBEAT_SECONDS + 30)
    output = said(log)
    assert first.exitcode not in (None, 0, -signal.SIGKILL), output
    assert not (folder / "summary.json").exists()
    assert "dropout-jax: lost another process; go on with the same commands and --resume" in output
    with undrawn():
        assert run_command([*COMPARE, "--out", str(folder), "--resume"]) == 0
        assert run_command([*COMPARE, "--out", str(tmp_path / "whole")]) == 0
    resumed, whole = [tmp_path / run / "weights.safetensors" for run in ("run", "whole")]
    assert resumed.read_bytes() == whole.read_bytes()
    assert json.loads((folder / "environment.json").read_text())["interrupted"] is False


@pytest.mark.slow
def test_what_one_process_refuses_both_refuse_in_one_line(tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "a file of somebody").touch()
    port, logs = free_port(), (tmp_path / "first", tmp_path / "other")
    both = [start_compare(log, tmp_path / "run", n, port) for n, log in enumerate(logs)]
    for one in both:
        one.join(120)
    assert [one.exitcode for one in both] == [2, 2]
    output = [said(log).splitlines() for log in logs]
    lines = [[line for line in of if line.startswith("dropout-jax:")] for of in output]
    assert [len(of) for of in lines] == [1, 1]
    assert "out must be a new or empty folder" in lines[0][0]
    assert "another process could not start" in lines[1][0]
    assert not any("Traceback" in line for of in output for line in of)


def talked(tmp_path, told: tuple[int, ...]) -> list[tuple[int | None, str, str]]:
    """Status, output and errors of processes that were told of so many."""
    port, logs = free_port(), [tmp_path / str(i) for i in range(len(told))]
    given = [
        (log, talk, port, n, i, f"{log}.npz")
        for i, (n, log) in enumerate(zip(told, logs, strict=True))
    ]
    talkers = [start(*of) for of in given]
    for one in talkers:
        one.join(60)
    return [
        (one.exitcode, said(log, "out"), said(log)) for one, log in zip(talkers, logs, strict=True)
    ]


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/net/tcp6").exists(), reason="sockets are read off Linux")
def test_what_the_first_process_has_arrives_bit_for_bit_through_a_port_of_the_given_address(
    tmp_path,
):
    (status, listens, output), (other_status, nowhere, other_output) = talked(tmp_path, (2, 2))
    assert (status, other_status) == (0, 0), output + other_output
    here = re.findall(r"listens at(?: (\w+):\w+)?$", listens, re.MULTILINE)
    assert here in (["0100007F"], ["0000000000000000FFFF00000100007F"])  # 127.0.0.1, no more
    assert re.findall(r"listens at(.*)$", nowhere, re.MULTILINE) == [""]
    leaves = [leaf for one in SENT[2:] for leaf in (one[0], *one[1], one[2], *one[3])]
    for process in (0, 1):
        with np.load(tmp_path / f"{process}.npz") as there:
            for mine, theirs in zip(leaves, there.values(), strict=True):
                assert (theirs.dtype, theirs.shape) == (np.asarray(mine).dtype, np.shape(mine))
                assert theirs.tobytes() == np.asarray(mine).tobytes()


@pytest.mark.slow
def test_a_number_of_processes_that_does_not_match_is_refused_by_all(tmp_path):
    (status, _, output), (other_status, _, other_output) = talked(tmp_path, (2, 3))
    assert (status, other_status) == (1, 1)  # of a traceback, as no command line catches it
    assert "ValueError: another process could not start, and says why" in output
    assert "ValueError: --num-processes must be 2, got 3" in other_output


@pytest.mark.parametrize("value", [object(), np.array([None]), {1, 2}])
def test_only_json_and_arrays_of_numbers_are_sent(value):
    with pytest.raises(TypeError, match="must be JSON and arrays, got"):
        processes._pack_message({"value": [value]})


def test_one_process_agrees_with_itself():
    assert processes.is_first()
    assert [processes.anywhere(flag) for flag in (True, False)] == [True, False]
    value = {"a": [1, None]}
    assert processes.from_first_process(value) is value
    assert processes.together(lambda: 3) == 3
    with pytest.raises(ValueError, match="why not"):
        processes.together(lambda: (_ for _ in ()).throw(ValueError("why not")))


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"coordinator": "a:1"}, "--coordinator must come with --distributed, --num-processes"),
        ({"distributed": True, "num_processes": 2}, "--coordinator must come with"),
        ({"distributed": True, "process_id": 0}, "--coordinator must come with"),
        (
            {"distributed": True, "coordinator": "a:1", "num_processes": 2, "process_id": 2},
            "--process-id must be at least 0 and less than --num-processes, got 2",
        ),
        (
            {"distributed": True, "coordinator": "a:1", "num_processes": 0, "process_id": 0},
            "--num-processes must be at least 1, got 0",
        ),
    ],
)
def test_processes_are_given_all_three_settings_or_none(given, expected):
    with pytest.raises(ValueError, match=expected):
        check(Compare(**given))
