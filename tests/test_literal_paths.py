"""Whatever a folder is called, its name is taken literally: each door, beside a folder that the name as a pattern would mean."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

import evaluate
import launch
import report
import sweep
from models.nursery import generator
from tests.helpers import only_run

NAME, MEANT = "[ab]*{c} %20?é#::x", "a{c} %20zé#::x"


@pytest.fixture
def folder(few_stories: None, model_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:  # noqa: ARG001
    """With a dataset, a model and settings. In the folder beside it are another dataset and a model that cannot be read."""
    assert [path.name for path in tmp_path.glob("*")] == []
    monkeypatch.chdir(tmp_path)
    for name, part in ((NAME, slice(0, 20)), (MEANT, slice(20, 60))):
        (tmp_path / name / "data").mkdir(parents=True)
        shutil.copytree(model_folder, tmp_path / name / "model")
        for split in ("train", "test"):
            rows = [json.dumps({"story": story}) + "\n" for story in [*generator.stories(split)][part]]
            (tmp_path / name / "data" / f"{split}.jsonl").write_text("".join(rows))
    for file in (tmp_path / MEANT / "model").iterdir():
        file.write_text("")
    assert {path.name for path in tmp_path.glob(NAME)} == {MEANT}
    return tmp_path / NAME


def files(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def words_in(name: str, tiny_words: Callable[..., list[str]], *more: str) -> list[str]:
    """Relative paths, which begin with the folder's name."""
    options = {"model": "model", "dataset": "data", "output_dir": "out"}
    return tiny_words(*(f"--{option}={name}/{path}" for option, path in options.items()), *more)


def test_every_door_takes_a_folder_s_name_literally(
    folder: Path, tiny_words: Callable[..., list[str]], capsys: pytest.CaptureFixture[str]
):
    beside = files(folder.parent / MEANT)
    (folder / "c.yaml").write_text("save_steps: 2\nreward: happy_count\n")
    assert launch.main(words_in(NAME, tiny_words, "--routing.enabled", f"--config={NAME}/c.yaml")) == 0
    run = only_run(folder / "out")
    assert run.name.startswith("happy_count_routed")
    assert json.loads((run / "run.json").read_text())["train_prompts"] == 20
    shutil.rmtree(run / "checkpoint-3")
    (run / "status.json").unlink()
    assert launch.main(["--resume", str(run.relative_to(folder.parent))]) == 0
    checkpoint = f"{NAME}/out/{run.name}/checkpoint-3"
    assert evaluate.main(["--model_path", checkpoint, "--n_samples", "8"]) == 0
    assert evaluate.main(["export", "--model_path", checkpoint, "--out", f"{NAME}/exported"]) == 0
    assert report.main([f"{NAME}/out/{run.name}"]) == 0
    assert report.main([f"{NAME}/out/{run.name}", f"{NAME}/out/{run.name}", "--out", f"{NAME}/page.html"]) == 0
    made = [run / "report.html", folder / "page.html", folder / "exported" / "model.safetensors", run / "checkpoint-3"]
    assert all(path.exists() for path in made)
    status = json.loads((run / "status.json").read_text())  # of a run that was taken up again, which does not tell
    (run / "status.json").write_text(json.dumps(status | {"seconds": {"loading": 1.0, "training": 1.0, "evaluating": 1.0}}))
    capsys.readouterr()
    assert sweep.main(words_in(NAME, tiny_words, "--routing.enabled", "--grid=seed=1,2", "--dry_run")) == 0
    assert f"a completion of an evaluation: {NAME}/out/{run.name}" in capsys.readouterr().out
    assert files(folder.parent / MEANT) == beside
    assert {path.name for path in folder.parent.iterdir()} == {NAME, MEANT}
