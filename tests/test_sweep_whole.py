"""`sweep.py` as processes: from the command line to summary and page."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

import sweep
from records.rows import read_rows
from tests.sweep_door import CEILING


@pytest.fixture
def whole(
    model_folder: Path, first_stories: dict[str, list[str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., int]:
    """`whole(*words)`: sweep.py over a tiny model and a few stories; its exit code. Its runs are processes."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HF_DATASETS_CACHE", str(tmp_path / "datasets"))
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    stories = tmp_path / "stories"
    stories.mkdir()
    for split, texts in first_stories.items():
        (stories / f"{split}.jsonl").write_text("".join(json.dumps({"story": text}) + "\n" for text in texts))
    settings = [
        *[
            "batch_size=8",
            "num_generations=4",
            "max_steps=2",
            "env.num_prompts=40",
            "env.num_eval_prompts=20",
            "eval.num_prompts=8",
        ],
        *["eval.final_samples=8", "sampling.max_completion_length=12", "wandb.mode=disabled", f"model={model_folder}"],
    ]
    common = ["--output_dir", str(tmp_path / "output"), "--name", "tiny", "--dataset", str(stories), "--fixed", *settings]

    return lambda *words: sweep.main([*words, *common])


def test_a_sweep_from_the_command_line_to_its_report(
    whole: Callable[..., int], tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    words = ["--routing.enabled", "--grid", "seed=1,2", "--jobs", "2", "--retries", "0"]
    code, printed = whole(*words), capsys.readouterr()
    assert code == 0, printed.err
    folder = tmp_path / "output" / "tiny"
    runs = json.loads((folder / "sweep.json").read_text())["runs"]
    assert len(runs) == 2
    for run in runs:
        assert [row["step"] for row in read_rows(folder / run["name"], "metrics.jsonl")] == [0, 1]
        assert "resumed" not in (folder / "logs" / f"{run['name']}.log").read_text()
        assert json.loads((folder / run["name"] / "run.json").read_text())["config_hash"] == run["config_hash"]
    summary = json.loads((folder / "summary.json").read_text())
    (entry,) = summary["configurations"]
    assert (entry["configuration"], entry["runs"]["finished"]) == ("routed", 2)
    assert [*entry["modes"]] == ["both", "retain_only", "forget_only", "base"]
    rewards = [json.loads((folder / run["name"] / "evaluation.json").read_text())["modes"]["both"]["reward"] for run in runs]
    assert entry["modes"]["both"]["reward"]["mean"] == pytest.approx(sum(rewards) / 2)
    assert (folder / "report.html").exists()
    assert "routed, samples of " in printed.out
    assert whole(*words) == 0
    assert "2 skipped" in capsys.readouterr().err


def test_a_routed_run_is_measured_against_its_ceiling(
    whole: Callable[..., int], tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    (tmp_path / "ceiling.py").write_text(CEILING)
    code, printed = whole(str(tmp_path / "ceiling.py"), "--jobs", "2", "--retries", "0"), capsys.readouterr()
    assert code == 0, printed.err
    folder = tmp_path / "output" / "tiny"
    routed, ceiling = json.loads((folder / "sweep.json").read_text())["runs"]
    assert (routed["kind"], ceiling["kind"], ceiling["baseline_of"]) == ("routed", "unhackable", [routed["name"]])
    assert {row["routing/eligible"] for row in read_rows(folder / ceiling["name"], "metrics.jsonl")} == {0}
    (frontier,) = json.loads((folder / "summary.json").read_text())["frontier"]
    assert [frontier["ceiling"]["configuration"], frontier["ceiling"]["seeds"]] == ["unhackable", [1]]
    ends = [json.loads((folder / run["name"] / "evaluation.json").read_text())["modes"] for run in (routed, ceiling)]
    (routed,) = frontier["routed"]
    left = ends[0]["retain_only"]["hacked"] - ends[0]["base"]["hacked"]
    assert routed["deployed"]["by_seed"]["hack_left"] == [pytest.approx(left)]
    assert routed["deployed"]["by_seed"]["kl_to_base"] == [ends[0]["retain_only"]["kl_to_base"]]
    assert ends[1]["both"]["reward"] == pytest.approx(ends[1]["both"]["rewards/sentence_length_5"])
    assert "The ceiling is unhackable, both." in printed.out
    assert 'id="frontier"' in (folder / "report.html").read_text()
