"""What is wrong is said in the words of whom it is said to: fields in Python, options where options were typed."""

import pickle
from pathlib import Path
from typing import Any

import pytest

from configs.cli import run_main
from configs.errors import UserError, did_you_mean, option_error, setting_error, speaking_of
from configs.experiment import AdapterSettings, Experiment, GRPOSettings
from runs.trainer import resume, train
from tests.configs.test_resolve_refusals import REFUSED, refusal_of


def both_forms(error: UserError) -> tuple[str, str]:
    with speaking_of(options=False):
        in_python = str(error)
    with speaking_of(options=True):
        return in_python, str(error)


@pytest.mark.parametrize(
    ("error", "in_python", "of_options"),
    [
        (setting_error("lr", "x", "must be a number"), "lr='x': must be a number", "--lr x: must be a number"),
        (setting_error("env.bos", None, "see --env.name"), "env.bos=None: see env.name", "--env.bos None: see --env.name"),
        (setting_error("resume", Path("a"), "is no run"), "folder='a': is no run", "--resume a: is no run"),
        (option_error("--plugin a.py: not there"), "plugins=a.py: not there", "--plugin a.py: not there"),
        (option_error("--reward: was a function"), "reward: was a function", "--reward: was a function"),
        (option_error("--lr 1: a - b--c --beta 2 (--plugin)"), "lr=1: a - b--c beta 2 (plugins)", None),
        (UserError("sweep.json: --kept"), "sweep.json: --kept", None),
    ],
)
def test_an_error_has_both_forms(error: UserError, in_python: str, of_options: str | None):
    assert both_forms(error) == both_forms(pickle.loads(pickle.dumps(error))) == (in_python, of_options or error.of_options)


def test_a_door_speaks_of_options_and_leaves_nothing_behind(capsys: pytest.CaptureFixture[str]):
    def door() -> None:
        try:
            Experiment(lr=0)
        except UserError as error:
            raise UserError(f"in a file: {error}") from error

    with speaking_of(options=False):
        assert run_main(door) == 2
        assert capsys.readouterr().err == "error: in a file: --lr 0: must be a positive number\n"
        with pytest.raises(UserError, match=r"^lr=0: must be a positive number$"):
            Experiment(lr=0)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda _: Experiment(max_steps="5"), "max_steps='5': must be a whole number"),
        (lambda _: GRPOSettings(loss_type="ppo"), "grpo.loss_type='ppo': accepted are grpo, dr_grpo, dapo"),
        (lambda _: AdapterSettings(ranks=3), "adapter.ranks: no such setting; AdapterSettings has kind, rank, "),
        (lambda tiny: train(tiny(reward="hapy_exp")), "reward='hapy_exp': reward 'hapy_exp' is unknown; accepted: "),
        (lambda tiny: train(tiny(**{"env.detector": "x"})), "env.detector='x': detector 'x' is unknown; accepted: "),
        (lambda tiny: train(tiny(batch_size=9)), "batch_size=9: must be a multiple of num_generations 4"),
        (
            lambda tiny: train(tiny(**{"routing.mode": "exclusive"})),
            "routing.mode='exclusive': has no effect without routing.enabled",
        ),
        (lambda tiny: train(tiny(device="gpu")), "device='gpu': accepted are auto, cpu, cuda, cuda:NUMBER"),
        (lambda tiny: train(tiny(model="nowhere")), "model=nowhere: "),
        (lambda tiny: train(tiny(dataset="./nowhere")), "dataset=./nowhere: no such folder; accepted are nursery, "),
        (lambda tiny: train(tiny(plugins=("none.py",))), "plugins=none.py: cannot be read: No such file"),
    ],
)
def test_python_is_told_of_fields(tiny: Any, monkeypatch: pytest.MonkeyPatch, make: Any, message: str):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with speaking_of(options=False):
        with pytest.raises(UserError) as caught:
            make(tiny)
        said = str(caught.value)
    assert said.startswith(message)
    assert "--" not in said


def test_an_existing_run_and_one_with_other_settings_are_told_of_fields(tiny: Any):
    folder = train(tiny(), quiet=True).folder
    with speaking_of(options=False):
        with pytest.raises(UserError, match=r"^output_dir=.*: the run .* exists there; overwrite replaces it$"):
            train(tiny(), quiet=True)
        with pytest.raises(UserError, match=r"^folder=.*: is a run with other settings: beta 0\.02, not 0\.5$"):
            resume(folder, tiny(beta=0.5))


def test_no_refusal_of_settings_speaks_to_python_of_options():
    with speaking_of(options=False):
        assert [message for message in map(refusal_of, (words for words, _ in REFUSED)) if "--" in message] == []


@pytest.mark.parametrize(
    ("name", "known", "text"),
    [
        ("--enabled", ["routing.enabled", "routing.mode"], " (did you mean routing.enabled?)"),
        ("hapy", ["happy", "sad"], " (did you mean happy?)"),
        ("xyzzy", ["happy", "sad"], ""),
        ("happy", [], ""),
    ],
)
def test_what_may_be_meant(name: str, known: list[str], text: str):
    assert did_you_mean(name, known) == text
