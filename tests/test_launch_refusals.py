"""One line for everything that is wrong about a command of `launch.py`, and nothing left behind."""

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import huggingface_hub.constants
import pytest
import torch
from safetensors.torch import load_file, save_file

import launch
import runs.trainer
from grpo.run import Run
from runs.preflight import PreflightFailure
from tests.helpers import LONG_ENOUGH, one_line_error, only_run

Words = Callable[..., list[str]]
ROOT = Path(launch.__file__).parent


@pytest.fixture
def refused(tiny_words: Words, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch):
    """`refused(*words)`: the one line about them, when nothing but it was left behind."""
    import datasets

    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "datasets")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)

    def refuse(*words: str) -> str:
        said = one_line_error(launch.main, capsys, *tiny_words(*words))
        assert not (tmp_path / "output").exists()
        return said

    return refuse


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("--maxx_steps 5", "--maxx_steps: no such option (did you mean --max_steps?)"),
        ("--max_steps many", "--max_steps many: must be a whole number"),
        ("--max_steps 0", "--max_steps 0: must be at least 1"),
        ("--lr 0", "--lr 0.0: must be a positive number"),
        ("--seed -1", "--seed -1: must be 0 or more"),
        ("--batch_size 10", "--batch_size 10: must be a multiple of --num_generations 4"),
        ("--num_generations 1", "--num_generations 1: a group needs at least 2 completions"),
        ("--routing.mode exclusive", "--routing.mode exclusive: has no effect without --routing.enabled"),
        ("--routing.enabled --adapter.kind lora", "--adapter.kind lora: routing needs dual_lora"),
        (
            "--env.eligible_fraction 1",
            "--env.eligible_fraction 1.0: has no effect: --reward happy_binary has no component with the role forget",
        ),
        ("--adapter.rank 4", "--adapter.rank 4: has no effect with --adapter.kind none"),
        ("--sampling.top_k 5", "--sampling.top_k 5: must be 0"),
        ("--sampling.top_p 0.9", "--sampling.top_p 0.9: must be 1"),
        ("--sampling.temperature 0", "--sampling.temperature 0.0: must be above 0"),
        ("--sampling.max_completion_length 57", "--sampling.max_completion_length 57: with prompts of up to 8 tokens it exceeds"),
        ("--grpo.kl_estimator k1", "--grpo.kl_estimator k1: "),
        ("--device tpu", "--device tpu: accepted are auto, cpu, cuda, cuda:NUMBER"),
        ("--device cuda", "--device cuda: no CUDA device is available here"),
        ("--reward happy_binari", "--reward happy_binari: "),
        ("--reward happy_count(cap=0)", "--reward happy_count(cap=0): "),
        ("--reward happy_count(cap", "--reward happy_count(cap: "),
        ("--reward {components:[]}", "--reward "),
        ("--reward {name:", "--reward"),
        ("--env.detector unhappy", "--env.detector unhappy: "),
        ("--env.detector happy_at_least(threshold=x)", "--env.detector happy_at_least(threshold=x): "),
        ("--env.name songs", "--env.name songs: accepted are stories"),
        ("--env.prompt_length 60", "--sampling.max_completion_length 12: with prompts of up to 60 tokens"),
        (
            "--env.prompt_length 500",
            "--dataset nursery: no new story of at least prompt_length=500 tokens for train prompts",
        ),
        ("--env.num_prompts 1", "--dataset nursery: 1 prompts; one step needs 2"),
        ("--text_column title", "--text_column title: the embedded dataset has the column story only"),
        ("--model ./nowhere", "--model ./nowhere: no such folder; accepted are nursery, a local folder, or a hub id"),
        ("--model nobody/nothing", "--model nobody/nothing: cannot be had from the Hugging Face hub"),
        ("--dataset ./nowhere", "--dataset ./nowhere: no such folder"),
        ("--dataset nobody/nothing", "--dataset nobody/nothing: cannot be had from the Hugging Face hub"),
        ("--config nowhere.yaml", "--config nowhere.yaml: cannot be read: "),
    ],
)
def test_what_is_wrong_is_one_line_and_creates_nothing(refused: Callable[..., str], words: str, message: str):
    assert refused(*words.split()).startswith(message)


@pytest.mark.parametrize("option", ["--model", "--dataset"])
def test_the_embedded_choice_is_named_where_the_hub_cannot_be_reached(refused: Callable[..., str], option: str):
    assert refused(option, "nobody/nothing").endswith(f"the embedded choice is {option} nursery")


def test_a_file_of_settings_is_checked_like_the_command_line(refused: Callable[..., str], tmp_path: Path):
    file = tmp_path / "settings.yaml"
    file.write_text("routing: {enabled: true}\nbeta: -1\n")
    assert refused("--config", str(file)) == f"in {file}: --beta -1.0: must be 0 or more"
    file.write_text("max_step: 3\n")
    assert refused("--config", str(file)).startswith(f"in {file}: --max_step: no such option")


def without_a_tensor(folder: Path) -> None:
    weights = load_file(folder / "model.safetensors")
    save_file(dict(list(weights.items())[1:]), folder / "model.safetensors")


def with_config(**changes: Any) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        config = json.loads((folder / "config.json").read_text())
        (folder / "config.json").write_text(json.dumps(config | changes))

    return change


MODELS: dict[str, tuple[Callable[[Path], Any], str]] = {
    "empty folder": (lambda f: [file.unlink() for file in f.iterdir()], "has no config.json"),
    "no weights": (lambda f: (f / "model.safetensors").unlink(), "has no model.safetensors"),
    "weights cut": (
        lambda f: (f / "model.safetensors").write_bytes((f / "model.safetensors").read_bytes()[:-5]),
        "cannot be read",
    ),
    "weights of something else": (lambda f: (f / "model.safetensors").write_bytes(b"\x80\x05pickle"), "cannot be read"),
    "a tensor missing": (without_a_tensor, "its weights do not fit its config.json"),
    "another shape": (with_config(hidden_size=32), "its weights do not fit its config.json"),
    "another architecture": (with_config(model_type="gpt2"), "model_type 'gpt2' is not supported; supported: 'llama', 'qwen2'"),
    "config damaged": (lambda f: (f / "config.json").write_text("{"), "cannot be read"),
    "tokenizer damaged": (lambda f: (f / "tokenizer.json").write_text("{"), "tokenizer.json cannot be read"),
    "tokenizer of another size": (with_config(vocab_size=4000), "its tokenizer has 4096 tokens, its weights 4000"),
    "another EOS": (with_config(eos_token_id=17), "eos_token_id 17 is"),
}


@pytest.mark.parametrize("damage", MODELS)
def test_an_unusable_model_folder_is_one_line(refused: Callable[..., str], model_folder: Path, tmp_path: Path, damage: str):
    change, message = MODELS[damage]
    copy = tmp_path / "copy"
    shutil.copytree(model_folder, copy)
    change(copy)
    said = refused("--model", str(copy))
    assert said.startswith(f"--model {copy}: ")
    assert message in said


DATASETS: dict[str, tuple[list[dict], list[dict], str]] = {
    "another column": ([{"text": "a"}], [{"text": "a"}], "--text_column story: {}/train.jsonl line 1 has the columns text"),
    "numbers": ([{"story": 3}], [{"story": 3}], "--text_column story: {}/train.jsonl line 1 holds int there, not text"),
    "nothing long enough": (
        [{"story": "the cat."}],
        LONG_ENOUGH,
        "--dataset {}: no new story of at least prompt_length=8 tokens for train prompts",
    ),
    "too few prompts": (LONG_ENOUGH[:1], LONG_ENOUGH[1:], "--dataset {}: 1 prompts; one step needs 2"),
    "nothing to evaluate on": (
        LONG_ENOUGH,
        LONG_ENOUGH,
        "--dataset {}: no new story of at least prompt_length=8 tokens for eval prompts",
    ),
    "unknown words": (
        [{"story": f"故 {word} little cat and the big dog was happy."} for word in ("the", "a", "and")],
        LONG_ENOUGH,
        "--dataset {}: 12.5% of the train prompts' tokens are unknown to the tokenizer",
    ),
}


@pytest.mark.parametrize("fault", DATASETS)
def test_an_unusable_dataset_is_one_line(refused: Callable[..., str], tmp_path: Path, fault: str):
    train, test, message = DATASETS[fault]
    folder = tmp_path / "stories"
    folder.mkdir()
    for name, rows in (("train", train), ("test", test)):
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert refused("--dataset", str(folder)).startswith(message.format(folder))


def test_a_dataset_without_files_is_one_line(refused: Callable[..., str], tmp_path: Path):
    assert refused("--dataset", str(tmp_path)).startswith(f"--dataset {tmp_path}: holds no train split; it has no splits")


def test_a_run_that_exists_is_refused_and_a_folder_that_is_no_run_stays(
    tiny_words: Words, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    assert launch.main(tiny_words("--max_steps", "1")) == 0
    folder = only_run(tmp_path / "output")
    capsys.readouterr()
    assert launch.main(tiny_words("--max_steps", "1")) == 2
    expected = f"error: --output_dir {folder.parent}: the run {folder.name} exists there; --overwrite replaces it\n"
    assert capsys.readouterr() == ("", expected)
    (folder / "config.yaml").unlink()
    assert launch.main(tiny_words("--max_steps", "1", "--overwrite")) == 2
    assert capsys.readouterr().err == f"error: --overwrite: {folder} is not a run's folder (no config.yaml in it), so it stays\n"
    assert (folder / "metrics.jsonl").is_file()


def test_where_nothing_can_be_written_is_one_line(tiny_words: Words, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    (tmp_path / "file").write_text("")
    assert launch.main(tiny_words("--output_dir", str(tmp_path / "file" / "out"))) == 2
    assert capsys.readouterr() == ("", f"error: --output_dir {tmp_path}/file/out: cannot be written: Not a directory\n")


def test_a_run_that_can_not_work_is_one_line_and_creates_nothing(
    tiny_words: Words, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    def fails(run: Run) -> None:
        raise PreflightFailure(f"preflight: a step does not fit into the memory of {run.config.device}")

    monkeypatch.setattr(runs.trainer, "preflight", fails)
    assert launch.main(tiny_words()) == 1
    printed = capsys.readouterr()
    loaded, error = printed.err.splitlines()
    assert printed.out == ""
    assert loaded.startswith("loading the model and the prompts: ")
    assert error == "error: preflight: a step does not fit into the memory of cpu"
    assert not (tmp_path / "output").exists()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("--beta=0 --grpo.kl_estimator=k2", "--grpo.kl_estimator k2: has no effect with --beta 0"),
        ("--routing.enabled --baseline=filter", "--baseline filter: contradicts --routing.enabled"),
        ("--resume", "--print_config: has no effect with --resume; a run's settings stand in its config.yaml"),
    ],
)
def test_what_a_run_would_refuse_is_not_printed(refused: Callable[..., str], words: str, message: str):
    assert refused("--print_config", *words.split()) == message


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (
            "--reward hapy_binary",
            "--reward hapy_binary: reward 'hapy_binary' is unknown; .* (did you mean happy_binary?)",
        ),
        ("--env.detector happy_dense", "--env.detector happy_dense: .* is unknown; .* (did you mean happy_density?)"),
        ("--env.name story", "--env.name story: accepted are stories, repeat, chat (did you mean stories?)"),
        ("--env.nam chat", "--env.nam: no such option (did you mean --env.name?); --help lists them"),
    ],
)
def test_a_wrong_name_is_answered_without_torch_and_with_what_may_be_meant(words: str, message: str):
    command = [sys.executable, "-c", "import sys, launch; code = launch.main(sys.argv[1:]); print(code, 'torch' in sys.modules)"]
    done = subprocess.run([*command, *words.split()], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout == "2 False\n"
    assert re.fullmatch(re.escape(f"error: {message}\n").replace(r"\.\*", ".*"), done.stderr)


def test_threads_are_for_the_cpu(refused: Callable[..., str], monkeypatch: pytest.MonkeyPatch):
    assert refused("--threads", "0") == "--threads 0: must be at least 1"
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert refused("--threads", "2", "--device", "cuda") == "--threads 2: has no effect with --device cuda"
