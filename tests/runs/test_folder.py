import json
import multiprocessing
import os
import signal
import threading
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dropout_jax.runs import folder
from tests.drawn import json_values

THIS = {"epochs": 30, "rates": [0.0, 0.5]}


def names_in(path):
    return sorted(str(p.relative_to(path)) for p in path.rglob("*") if p.name != folder.LOCK)


def taken(path, **how):
    return folder.check(path, THIS, **{"overwrite": False, "resume": False, **how})


def files_in_mark(path):
    mark = folder.read_mark(path)
    assert mark
    return mark.files


def test_folders_made_at_one_moment_are_all_different(tmp_path):
    made = []
    threads = [
        threading.Thread(target=lambda: made.append(folder.new(tmp_path / "runs", "digits")))
        for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(made)) == 8
    assert names_in(tmp_path / "runs") == ["digits", *(f"digits-{n}" for n in range(2, 9))]


@pytest.mark.parametrize("how", [{}, {"overwrite": True}, {"resume": True}])
def test_a_folder_that_is_new_or_empty_is_taken_for_a_start(how, tmp_path):
    assert taken(tmp_path / "a" / "b", **how) is None
    assert names_in(tmp_path) == []
    folder.lock(tmp_path / "a" / "b").release()
    assert names_in(tmp_path) == ["a", "a/b"]
    assert taken(tmp_path / "a" / "b", **how) is None


@pytest.mark.parametrize("how", [{}, {"overwrite": True}, {"resume": True}])
def test_a_run_that_was_killed_while_it_wrote_its_mark_can_be_started_again(how, tmp_path):
    folder.lock(tmp_path).release()
    (tmp_path / ".0123456789abcdef.partial").write_text('{"made')
    assert taken(tmp_path, **how) is None
    (tmp_path / ".0123456789abcdef.partial.txt").touch()
    with pytest.raises(ValueError, match="new or empty"):
        taken(tmp_path, **how)


@pytest.mark.parametrize(("done", "kind"), [(True, "another run"), (False, "an unfinished run")])
def test_a_folder_of_another_run_is_taken_only_when_it_may_be_overwritten(tmp_path, done, kind):
    folder.begin(tmp_path, THIS)
    folder.update(tmp_path, done=done)
    with pytest.raises(ValueError, match=rf"out holds {kind}: .*--overwrite"):
        taken(tmp_path)
    assert taken(tmp_path, overwrite=True) is None
    assert names_in(tmp_path) == [folder.MARK]


def test_the_same_run_is_gone_on_with_and_says_whether_it_is_done(tmp_path):
    folder.begin(tmp_path, THIS)
    files = files_in_mark(tmp_path)
    assert taken(tmp_path, resume=True) == folder.Mark(THIS, False, files)
    folder.update(tmp_path, done=True)
    assert taken(tmp_path, resume=True) == folder.Mark(THIS, True, files)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"epochs": 31}, "epochs was 31, got 30"),
        ({"rates": [0.0, 0.4]}, r"rates was \[0.0, 0.4\], got \[0.0, 0.5\]"),
    ],
)
def test_another_run_is_never_gone_on_with(tmp_path, change, message):
    folder.begin(tmp_path, THIS | change)
    with pytest.raises(ValueError, match=f"holds another run: {message}"):
        taken(tmp_path, resume=True)


NOT_MARKS = {
    "config.json": "{}",  # of a model, as Hugging Face's libraries write it
    "model/weights.safetensors": "",
    folder.MARK: json.dumps({"identity": {}, "done": True, "files": []}),
    f"./{folder.MARK}": "[" * 100_000,
    f".//{folder.MARK}": json.dumps(
        {"made_by": "dropout_jax", "identity": {}, "done": True, "files": ["../thesis.tex"]}
    ),
    f"././{folder.MARK}": json.dumps(
        {"made_by": "dropout_jax", "identity": {}, "done": True, "files": ["/thesis.tex"]}
    ),
    f"././/{folder.MARK}": json.dumps(
        {"made_by": "dropout_jax", "identity": [1], "done": True, "files": []}
    ),
}


@pytest.mark.parametrize("how", [{}, {"overwrite": True}, {"resume": True}])
@pytest.mark.parametrize("name", NOT_MARKS)
def test_a_folder_of_something_else_is_never_taken(tmp_path, name, how):
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).write_text(NOT_MARKS[name])
    with pytest.raises(ValueError, match="new or empty folder or an earlier run, got"):
        taken(tmp_path, **how)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (taken, "out must be a folder, got the file"),
        (lambda file: folder.lock(file / "below"), "out must be a folder that can be written to"),
    ],
    ids=["taken", "locked below"],
)
def test_a_file_is_no_folder_and_holds_none(call, message, tmp_path):
    (tmp_path / "f").touch()
    with pytest.raises(ValueError, match=message):
        call(tmp_path / "f")


def test_clearing_removes_what_the_run_wrote_and_nothing_else(tmp_path):
    foreign = [
        "figures/notes.txt",
        ".draft.partial",
        "figures/units.pdf",
        "notes.md",
        "tensorboard/mine/events",
    ]
    folder.begin(tmp_path, THIS)
    own = [*files_in_mark(tmp_path), ".0123456789abcdef.partial", "tensorboard/0-none/0/events"]
    for name in (*own, *foreign):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    folder.update(tmp_path, files=own[-1:])
    folder.clear(tmp_path)
    left = {folder.MARK, "figures", "tensorboard", "tensorboard/mine"}
    assert set(names_in(tmp_path)) == {*foreign, *left}


def test_clearing_takes_the_summary_first(tmp_path, monkeypatch):
    """So that a folder that is half cleared does not pass for a whole run."""
    removed = []
    folder.begin(tmp_path, THIS)
    monkeypatch.setattr(Path, "unlink", lambda path, **_: removed.append(path.name))
    folder.clear(tmp_path)
    assert removed[0] == "summary.json"
    assert "config.json" in removed


def test_a_run_that_begins_in_place_of_another_still_knows_what_that_wrote(tmp_path):
    folder.begin(tmp_path, THIS)
    wrote = [*files_in_mark(tmp_path), "tensorboard/events"]
    folder.update(tmp_path, files=["tensorboard/events"], done=True)
    folder.begin(tmp_path, {"epochs": 31})
    assert folder.read_mark(tmp_path) == folder.Mark({"epochs": 31}, False, wrote)


def hold(path, held):
    lock = folder.lock(path)
    held.set()
    signal.pause()
    lock.release()


@pytest.mark.slow
def test_a_folder_has_one_writer_and_the_lock_of_a_dead_one_does_not_count(tmp_path):
    processes = multiprocessing.get_context("spawn")
    held = processes.Event()
    other = processes.Process(target=hold, args=(tmp_path, held))
    other.start()
    assert held.wait(60)
    with pytest.raises(ValueError, match="out is being written by another run"):
        folder.lock(tmp_path)
    other.kill()
    other.join()
    folder.lock(tmp_path).release()


def test_a_folder_to_which_nothing_was_written_goes_with_its_lock(tmp_path):
    folder.leave(tmp_path / "new", folder.lock(tmp_path / "new"))
    assert not (tmp_path / "new").exists()
    lock = folder.lock(tmp_path / "run")
    folder.begin(tmp_path / "run", THIS)
    folder.leave(tmp_path / "run", lock)
    assert names_in(tmp_path) == ["run", f"run/{folder.MARK}"]


def test_a_pipe_or_a_link_is_no_mark_and_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / folder.MARK)
    assert folder.read_mark(tmp_path) is None
    folder.begin(tmp_path / "run", THIS)
    (tmp_path / "link").mkdir()
    (tmp_path / "link" / folder.MARK).symlink_to(tmp_path / "run" / folder.MARK)
    assert folder.read_mark(tmp_path / "link") is None


@pytest.mark.parametrize("name", ["../a", "/a", "a/../b", "a\0", folder.MARK, folder.LOCK])
def test_a_mark_of_files_that_no_run_writes_is_none(name, tmp_path):
    folder.begin(tmp_path, THIS)
    folder.update(tmp_path, files=["tensorboard/0-none/0/events"])
    assert folder.read_mark(tmp_path)
    folder.update(tmp_path, files=[name])
    assert folder.read_mark(tmp_path) is None


@given(content=st.binary() | json_values.map(lambda value: json.dumps(value).encode()))
def test_a_mark_that_no_run_wrote_is_none(content, tmp_path_factory):
    path = tmp_path_factory.mktemp("run")
    (path / folder.MARK).write_bytes(content)
    assert folder.read_mark(path) is None
