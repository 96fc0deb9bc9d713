"""A run's folder: whole files, rows that can be read again, and nothing replaced that is not a run."""

import json
from pathlib import Path

import pytest
import yaml

import records.folder
from configs.errors import UserError
from records.folder import RunFolder, check_free, create, write_json, write_whole
from records.rows import read_object, read_rows
from tests.helpers import log_lines

CONFIG = {"reward": "happy_binary", "env": {"detector": None, "prompt_length": 8}, "lr": 1e-5}


def files(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*")}


def test_a_write_that_fails_leaves_the_old_file(tmp_path: Path):
    file = tmp_path / "status.json"
    write_json(file, {"step": 1})

    def fails(temporary: Path) -> None:
        temporary.write_text('{"step":')
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        write_whole(file, fails)
    assert file.read_text() == '{\n  "step": 1\n}\n'


def test_a_file_is_written_beside_its_name_first(tmp_path: Path):
    file, seen = tmp_path / "a.txt", []

    def writes(temporary: Path) -> None:
        temporary.write_text("new")
        seen.append((temporary.parent, file.exists()))

    write_whole(file, writes)
    assert seen == [(tmp_path, False)]
    assert files(tmp_path) == {"a.txt"}
    assert file.read_text() == "new"


def test_a_new_folder_holds_its_settings_and_what_it_was_made_of(tmp_path: Path):
    folder = create(tmp_path / "deep" / "run", CONFIG, {"threads": 2}, overwrite=False)
    assert files(folder.path) == {"config.yaml", "run.json", "status.json", ".lock"}
    assert [path.name for path in (tmp_path / "deep").iterdir()] == ["run"]
    assert read_object(folder.path / "status.json") == {"state": "running", "step": 0, "phase": "loading"}
    assert yaml.safe_load((folder.path / "config.yaml").read_text()) == CONFIG
    assert list(yaml.safe_load((folder.path / "config.yaml").read_text())) == list(CONFIG)
    assert (folder.path / "run.json").read_text() == '{\n  "threads": 2\n}\n'


def test_rows_are_appended_and_read_again(tmp_path: Path):
    folder = RunFolder(tmp_path)
    rows = [{"step": 0, "reward": 0.1, "kl": None}, {"step": 1, "reward": 1 / 3, "text": 'a\nb " ü \u2028'}]
    folder.append("metrics.jsonl", rows[0])
    folder.append("metrics.jsonl", *rows)
    assert read_rows(tmp_path, "metrics.jsonl") == [rows[0], *rows]
    assert read_rows(tmp_path, "timing.jsonl") == []


@pytest.mark.parametrize("number", [float("nan"), float("inf")])
def test_what_json_has_no_number_for_is_refused_without_a_trace(tmp_path: Path, number: float):
    folder = RunFolder(tmp_path)
    folder.append("metrics.jsonl", {"step": 0})
    with pytest.raises(ValueError, match="JSON"):
        folder.append("metrics.jsonl", {"step": 1}, {"step": 2, "loss": number})
    with pytest.raises(ValueError, match="JSON"):
        write_json(tmp_path / "status.json", {"loss": number})
    assert read_rows(tmp_path, "metrics.jsonl") == [{"step": 0}]
    assert not (tmp_path / "status.json").exists()


def test_only_known_files_hold_rows(tmp_path: Path):
    with pytest.raises(AssertionError, match=r"metric\.jsonl"):
        RunFolder(tmp_path).append("metric.jsonl", {})


def test_a_damaged_row_is_named(tmp_path: Path):
    (tmp_path / "metrics.jsonl").write_text('{"step": 0}\n{"step": 1}\n{"ste')
    with pytest.raises(UserError, match=r"metrics\.jsonl:3: not a JSON row"):
        read_rows(tmp_path, "metrics.jsonl")


def test_log_lines_end_with_one_newline(tmp_path: Path):
    folder = RunFolder(tmp_path)
    folder.log("one")
    folder.log("two\n\n")
    folder.log("three\nfour")
    assert log_lines(tmp_path) == ["one", "two", "three", "four"]
    assert (tmp_path / "train.log").read_text().endswith(" four\n")


def test_the_status_is_replaced(tmp_path: Path):
    folder = RunFolder(tmp_path)
    folder.status("running", 0)
    folder.status("failed", 3, error="x")
    assert (tmp_path / "status.json").read_text() == '{\n  "state": "failed",\n  "step": 3,\n  "error": "x"\n}\n'


def test_an_existing_folder_is_an_error_and_stays(tmp_path: Path):
    folder = create(tmp_path / "run", CONFIG, {}, overwrite=False)
    folder.log("kept")
    with pytest.raises(UserError) as error:
        create(tmp_path / "run", CONFIG, {}, overwrite=False)
    assert str(error.value) == f"--output_dir {tmp_path}: the run run exists there; --overwrite replaces it"
    assert log_lines(tmp_path / "run") == ["kept"]


def test_overwrite_leaves_nothing_of_the_old_run(tmp_path: Path):
    folder = create(tmp_path / "run", CONFIG, {}, overwrite=False)
    (folder.path / "checkpoint-5").mkdir()
    (folder.path / "checkpoint-5" / "trainer.json").write_text("{}")
    folder.log("old")
    with pytest.raises(UserError, match="run: is being trained by another process"):
        create(tmp_path / "run", CONFIG, {}, overwrite=True)
    folder.close()
    create(tmp_path / "run", CONFIG, {}, overwrite=True).close()
    assert files(folder.path) == {"config.yaml", "run.json", "status.json", ".lock"}


@pytest.mark.parametrize("kind", ["folder", "file"])
def test_overwrite_replaces_runs_only(tmp_path: Path, kind: str):
    path = tmp_path / "run"
    if kind == "folder":
        path.mkdir()
        (path / "thesis.tex").write_text("ten years")
    else:
        path.write_text("ten years")
    before = files(tmp_path)
    with pytest.raises(UserError, match="not a run's folder"):
        check_free(path, overwrite=True)
    with pytest.raises(UserError, match="not a run's folder"):
        create(path, CONFIG, {}, overwrite=True)
    assert files(tmp_path) == before


def test_where_no_folder_can_be_made_is_one_line_to_the_user(tmp_path: Path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match=f"--output_dir {tmp_path}/file/out: cannot be written: Not a directory"):
        create(tmp_path / "file" / "out" / "run", CONFIG, {}, overwrite=False)


def test_seconds_are_counted_by_phase(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    now = [100.0]
    monkeypatch.setattr(records.folder.time, "time", lambda: now[0])
    folder = RunFolder(tmp_path)
    folder.began(90.0)
    for seconds, phase in ((5.0, "training"), (3.0, "evaluating"), (1.0, "training"), (2.0, "training")):
        now[0] += seconds
        folder.status("running", 1, phase=phase)
    now[0] += 4.0
    assert folder.seconds_so_far() == {"loading": 15.0, "training": 3.0 + 2.0 + 4.0, "evaluating": 1.0}
    assert json.loads((tmp_path / "status.json").read_text()) == {"state": "running", "step": 1, "phase": "training"}
    now[0] -= 50.0  # the clock was set back
    assert folder.seconds_so_far() == {"loading": 15.0, "training": 5.0, "evaluating": 1.0}
