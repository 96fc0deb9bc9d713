"""The command line of settings: what is refused and in which words, and the exit codes."""

from dataclasses import replace
from pathlib import Path

import pytest

from configs.cli import run_main
from configs.experiment import Experiment, SamplingSettings
from tests.configs.asked import differing
from tests.configs.launching import launch, refusal

# The command line


def test_nothing_given_is_the_default_experiment():
    assert launch() == Experiment()


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("--max_steps 5", {"max_steps": 5}),
        ("--max-steps 5", {"max_steps": 5}),
        ("--max_steps=5", {"max_steps": 5}),
        ("--max-steps=5", {"max_steps": 5}),
        ("--sampling.max_completion_length 9", {"sampling.max_completion_length": 9}),
        ("--sampling.max-completion-length 9", {"sampling.max_completion_length": 9}),
        ("--max_steps 5 --max-steps 6", {"max_steps": 6}),
        ("--routing.enabled", {"routing.enabled": True}),
        ("--routing.enabled --routing.no_enabled", {}),
        ("--log_all_samples", {"log_all_samples": True}),
        ("--log-all-samples", {"log_all_samples": True}),
        ("--log-all-samples --no-log-all-samples", {}),
        ("--log_all_samples --no_log_all_samples", {}),
        ("--adapter.kind lora --adapter.rank 2", {"adapter.kind": "lora", "adapter.rank": 2}),
        ("--adapter.kind None", {}),
        ("--lr 3e-4", {"lr": 3e-4}),
        ("--lr None", {}),
        ("--beta 0", {"beta": 0.0}),
        ("--reward happy_count(cap=5)", {"reward": "happy_count(cap=5)"}),
        ("--env.detector happy_density(max_density=0.1)", {"env.detector": "happy_density(max_density=0.1)"}),
        ("--model SimpleStories/SimpleStories-1.25M", {"model": "SimpleStories/SimpleStories-1.25M"}),
        ("--output_dir a/b", {"output_dir": Path("a/b")}),
        ("--name try-2 --tags a,b", {"name": "try-2", "tags": ("a", "b")}),
        ("--tags a --tags b,c", {"tags": ("b", "c")}),
        ("--tags a --tags=", {}),
    ],
)
def test_command_line(words: str, expected: dict):
    assert differing(launch(*words.split())) == expected


def test_reward_mapping_on_the_command_line():
    found = launch("--reward", "{components: [{name: happy_binary, scale: 0.5}], cap: 1}").reward
    assert found == {"components": [{"name": "happy_binary", "scale": 0.5}], "cap": 1}


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("--maxx_steps 5", "--maxx_steps: no such option (did you mean --max_steps?); --help lists them"),
        ("--maxx-steps=5", "--maxx-steps: no such option (did you mean --max_steps?); --help lists them"),
        ("--max_step 5", "--max_step: no such option (did you mean --max_steps?); --help lists them"),
        ("--xyzzy 1", "--xyzzy: no such option; --help lists them"),
        ("--enabled", "--enabled: no such option (did you mean --routing.enabled?); --help lists them"),
        ("stray", "stray: no such option; --help lists them"),
        ("--routing.enabled yes", "yes: no such option; --help lists them"),
        ("--max_steps", "--max_steps: a value is missing"),
        ("--lr --beta 3", "--lr: a value is missing"),
        ("--config", "--config: a value is missing"),
        ("--max_steps many", "--max_steps many: must be a whole number"),
        ("--max-steps many", "--max_steps many: must be a whole number"),
        ("--max_steps 1.5", "--max_steps 1.5: must be a whole number"),
        ("--seed None", "--seed None: must be a whole number"),
        ("--eval.seed mine", "--eval.seed mine: must be a whole number, or run"),
        ("--lr high", "--lr high: must be a number"),
        ("--sampling.temperature hot", "--sampling.temperature hot: must be a number"),
        ("--adapter.kind dora", "--adapter.kind dora: accepted are dual_lora, lora, none"),
        ("--grpo.loss_type ppo", "--grpo.loss_type ppo: accepted are dapo, dr_grpo, grpo"),
        ("--routing.mode Classic", "--routing.mode Classic: accepted are classic, exclusive, none"),
        ("--wandb.mode off", "--wandb.mode off: accepted are disabled, offline, online"),
        ("--reward {name:", "--reward: {name:: not a YAML mapping"),
    ],
)
def test_mistakes_on_the_command_line(words: str, message: str):
    assert refusal(*words.split()) == message


@pytest.mark.parametrize("word", ["--conf", "--max", "--e", "--routing", "-m"])
def test_options_cannot_be_abbreviated(word: str):
    assert refusal(word, "1").startswith(f"{word}: no such option")


def test_a_missing_file_is_named(tmp_path: Path):
    missing = tmp_path / "none.yaml"
    assert refusal("--config", str(missing)).startswith(f"--config {missing}: cannot be read: ")
    assert refusal(f"--config={missing}").startswith(f"--config {missing}: cannot be read: ")
    assert refusal("--config", str(tmp_path)).startswith(f"--config {tmp_path}: cannot be read: ")


# Entry points


def test_an_entry_point_tells_mistakes_in_one_line_and_exits_with_2(capsys: pytest.CaptureFixture[str]):
    assert run_main(lambda: launch("--max_steps", "x") and None) == 2
    assert capsys.readouterr() == ("", "error: --max_steps x: must be a whole number\n")


@pytest.mark.parametrize(("returned", "code"), [(None, 0), (0, 0), (3, 3)])
def test_an_entry_point_s_own_exit_code_is_kept(returned: int | None, code: int):
    assert run_main(lambda: returned) == code


def test_an_entry_point_hides_no_other_error():
    def fails() -> None:
        raise KeyError("reward")

    with pytest.raises(KeyError, match="reward"):
        run_main(fails)


def test_replacing_a_setting_in_python_is_the_same_as_naming_it():
    assert launch("--sampling.temperature", "0.5") == replace(Experiment(), sampling=SamplingSettings(temperature=0.5))
