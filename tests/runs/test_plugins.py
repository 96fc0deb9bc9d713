"""A user's own file, and a function of a session, from the command line to the end of a run and back."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

import evaluate
import launch
import runs.resume
import runs.trainer
import sweep
from configs.errors import UserError
from configs.experiment import Experiment
from envs.types import Completion
from records.rows import read_object
from runs.trainer import resume, train
from tests.helpers import failing, only_run

Words = Callable[..., list[str]]
CODE = """
from envs.registry import reward

@reward()
def brevity(completions):
    return [1 / (1 + len(each.token_ids)) for each in completions]
"""


@pytest.fixture(autouse=True)
def no_preflight(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (runs.trainer, runs.resume):
        monkeypatch.setattr(module, "preflight", lambda _: ())


@pytest.fixture
def file(tmp_path: Path) -> Path:
    (tmp_path / "my_rewards.py").write_text(CODE)
    return tmp_path / "my_rewards.py"


def test_a_run_with_a_plugin_is_resumed_and_evaluated_with_the_same_code_alone(
    tiny_words: Words, file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    words = tiny_words("--plugin", str(file), "--reward=brevity", "--save_steps=1", "--eval.final_samples=4")
    with pytest.MonkeyPatch.context() as patch:
        failing(patch, runs.trainer, "summarize", KeyboardInterrupt())
        assert launch.main(words) == 130
    folder = only_run(tmp_path / "output")
    (plugin,) = read_object(folder / "run.json")["plugins"]
    assert plugin["path"] == str(file) and len(plugin["sha256"]) == 64
    file.write_text(CODE + "\n")
    capsys.readouterr()
    for call in (
        lambda: launch.main(["--resume", str(folder)]),
        lambda: evaluate.main(["--model_path", str(folder / "checkpoint-3"), "--n_samples=2"]),
    ):
        assert call() == 2
        said = capsys.readouterr().err
        assert f"--plugin {file}: has changed: its SHA-256 was {plugin['sha256']}, is " in said and said.count("\n") == 1
    assert launch.main([*words, "--resume"]) == 2  # another run, as its code is
    assert "plugins" in capsys.readouterr().err
    file.write_text(CODE)
    monkeypatch.chdir(file.parent)
    assert launch.main(["--resume", str(folder), "--plugin", "my_rewards.py"]) == 0
    evaluation = ["--model_path", str(folder / "checkpoint-3"), "--n_samples=2", "--eval_rewards=brevity"]
    assert evaluate.main(evaluation) == 0
    mode = read_object(folder / "checkpoint-3" / "evaluation.json")["modes"]["policy"]
    assert mode["eval_rewards/brevity"] == mode["reward"] > 0


@pytest.mark.parametrize("plugins", ["{}", "[{}]"])
def test_yaml_names_them_too(file: Path, tmp_path: Path, plugins: str):
    (tmp_path / "mine.yaml").write_text(f"reward: brevity\nplugins: {plugins.format(file)}\n")
    options = launch.parse_options(["--config", str(tmp_path / "mine.yaml")])
    assert options.experiment.plugins == (str(file),)
    both = launch.parse_options(["--config", str(tmp_path / "mine.yaml"), "--plugin", "other.py", "--plugin=third.py"])
    assert both.experiment.plugins == (str(file), "other.py", "third.py")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--plugin", "nowhere.py"], "--plugin nowhere.py: cannot be read: No such file or directory"),
        (["--plugin"], "--plugin: a value is missing"),
        (["--plugins", "a.py"], "--plugins: no such option (did you mean --plugin?); --help lists them"),
    ],
)
def test_what_is_wrong_is_one_line(tiny_words: Words, words: list[str], message: str, capsys: pytest.CaptureFixture[str]):
    assert launch.main(tiny_words(*words)) == 2
    assert capsys.readouterr().err == f"error: {message}\n"


@pytest.mark.parametrize("value", ["{a: b}", "3", "[3]", "null"])
def test_yaml_that_names_no_files_is_refused(tmp_path: Path, value: str):
    (tmp_path / "mine.yaml").write_text(f"plugins: {value}\n")
    with pytest.raises(UserError, match=r"mine.yaml: --plugin .*: must be a file, or a list of files$"):
        launch.parse_options(["--config", str(tmp_path / "mine.yaml")])


def test_python_takes_a_list_and_nothing_else():
    assert Experiment(plugins=["a.py", Path("b.py")]).plugins == ("a.py", "b.py")  # pyright: ignore[reportArgumentType]
    with pytest.raises(UserError, match=r"^--plugins a\.py: must be a list of files$"):
        Experiment(plugins="a.py")  # pyright: ignore[reportArgumentType]


def test_the_runs_of_a_sweep_have_it(
    tiny_words: Words, file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.setattr(sweep, "gpus", list)
    words = tiny_words("--plugin", str(file), "--reward=brevity", "--grid", "seed=1", "--max_steps=1", "--name=mine")
    assert sweep.main(words) == 0, capsys.readouterr().err
    configs = sorted((tmp_path / "output" / "mine" / "configs").glob("*.yaml"))
    assert [f"- {file}@sha256:" in config.read_text() for config in configs] == [True]
    finished = (tmp_path / "output" / "mine").glob("*/status.json")
    assert [json.loads(status.read_text())["state"] for status in finished] == ["finished"]
    assert sweep.main([*words[:-1], "--grid", "plugins=a.py,b.py"]) == 2
    assert "error: in --grid: --plugin FILE names files for all runs\n" in capsys.readouterr().err


def length(completions: list[Completion]) -> list[float]:
    return [min(1.0, len(each.token_ids) / 100) for each in completions]


def width(completions: list[Completion]) -> list[float]:
    return [min(1.0, len(each.text) / 100) for each in completions]


def test_a_function_of_a_session(tiny: Callable[..., Experiment], capsys: pytest.CaptureFixture[str], monkeypatch):
    experiment = tiny(reward=length)
    with pytest.MonkeyPatch.context() as patch, pytest.raises(KeyboardInterrupt):
        failing(patch, runs.trainer, "summarize", KeyboardInterrupt())
        train(experiment, quiet=True)
    folder = only_run(experiment.output_dir)
    monkeypatch.setattr("envs.plugins.SESSION_ENTRIES", {})  # a new session
    capsys.readouterr()
    assert launch.main(["--resume", str(folder)]) == 2
    said = capsys.readouterr().err
    assert "was a function of a Python session" in said and said.count("\n") == 1
    with pytest.raises(UserError, match="was a function of a Python session"):
        resume(folder, tiny(reward=width), quiet=True)
    record = resume(folder, experiment, quiet=True)
    assert record.config.reward == "length" and record.summary["training"]["reward"]["last"] > 0


def test_a_sweep_takes_no_function(tmp_path: Path):
    path = tmp_path / "mine.py"
    path.write_text("from configs.experiment import Experiment\nfrom configs.sweep import Sweep\n"
                    "def f(completions): ...\nsweep = Sweep(base=Experiment(reward=f))\n")  # fmt: skip
    with pytest.raises(UserError, match=r"reward=<function f .*>: a sweep's runs are other processes; put it into a file"):
        sweep.load_file(path)
