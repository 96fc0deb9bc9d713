"""Every command in README.md and docs/ works: `launch.py`, `evaluate.py` and `report.py` run, on a tiny model.

A sweep is planned to its last run, and what else takes long is read to its last option; of both the page says that they do.
"""

import contextlib
import importlib
import io
import json
import re
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import datasets
import pytest

import evaluate
import launch
import report
import sweep
from tests.docs.pages import PAGES, ROOT, Command, commands_in, files_in, run_python

EVERY_COMMAND = [command for page in PAGES for command in commands_in(page.name, page.read_text())]
COMMANDS = [*{(command.words, command.long): command for command in EVERY_COMMAND}.values()]
SIZES = {
    "max_steps": 1,
    "batch_size": 16,
    "num_generations": 16,
    "sampling.max_completion_length": 3,
    "eval.num_prompts": 2,
    "eval.final_samples": 4,
}
Words = Callable[..., list[str]]
CarryOut = Callable[[Command], None]


@pytest.fixture(scope="module")
def workplace(
    finished_run: Callable[[str], Path],
    first_stories: dict[str, list[str]],
    model_folder: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> Path:
    """A directory with what commands speak of: output/RUN and others, MODEL, DATASET and the like, the repository's configs."""
    folder = tmp_path_factory.mktemp("workplace")
    for name in ("RUN", "RUN_A", "RUN_B"):
        shutil.copytree(finished_run("routed"), folder / "output" / name)
    (folder / "output" / "RUN" / "wandb").mkdir()
    for place in ("output/SWEEP", "tests/fixtures/earlier_sweep"):
        shutil.copytree(ROOT / "tests" / "fixtures" / "earlier_sweep", folder / place)
    for page in PAGES:
        for name, code in files_in(page).items():
            (folder / name).write_text(code)
    (folder / "DATASET").mkdir()
    for split, texts in first_stories.items():
        (folder / "DATASET" / f"{split}.jsonl").write_text("".join(json.dumps({"text": text}) + "\n" for text in texts))
    (folder / "MODEL").symlink_to(model_folder)
    shutil.copytree(model_folder, folder / "INSTRUCT_MODEL")
    (folder / "INSTRUCT_MODEL" / "chat_template.jinja").write_text("the {{ messages[0]['content'] }} [EOS] she said")
    (folder / "QUESTIONS").mkdir()
    for split, words in {"train": ("big", "small", "old", "new"), "test": ("red", "blue")}.items():
        rows = [json.dumps({"question": f"where is the {word} cat?"}) + "\n" for word in words]
        (folder / "QUESTIONS" / f"{split}.jsonl").write_text("".join(rows))
    (folder / "configs").symlink_to(ROOT / "configs")
    return folder


@pytest.fixture
def at_work(workplace: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(workplace)
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "datasets")


@pytest.fixture
def carry_out(at_work: None, tiny_words: Words) -> CarryOut:  # noqa: ARG001
    """`carry_out(command)`: in small, or as far as it can be read. Raises AssertionError for what is wrong with it."""
    doors: dict[str, Callable[[list[str]], int]] = {
        "launch.py": lambda words: launch.main(small_run(words, tiny_words())),
        "evaluate.py": lambda words: evaluate.main(small_evaluation(words)),
        "report.py": report.main,
        "sweep.py": lambda words: sweep.main([*words, "--dry_run"]),
    }

    def carry(command: Command) -> None:
        door, *words = command.words
        if "--help" in words or command.words == ("sweep.py",):
            assert_shows_help(lambda: importlib.import_module(door.removesuffix(".py")).main(words))
        elif door in doors:
            assert command.long or door != "sweep.py" or "--dry_run" in words, f"{command}: does not say that it takes long"
            assert doors[door](words) == 0
        elif door in ELSEWHERE:
            assert command.long, f"{command}: does not say that it takes long"
            ELSEWHERE[door](words)
        else:
            line = rf"^uv run {re.escape(' '.join(command.words))}( |$)"
            assert re.search(line, (ROOT / ".ci" / "run").read_text(), re.MULTILINE), f"{command}: nothing runs it"

    return carry


def small_run(words: list[str], tiny_words: list[str]) -> list[str]:
    if "--list" in words:
        return words
    if "--resume" in words:
        Path("output/RUN/status.json").write_text('{"state": "interrupted", "step": 3}')
        return words
    model, *sizes = sorted(tiny_words, key=lambda word: not word.startswith("--model="))
    sizes += [f"--{name}={value}" for name, value in SIZES.items()]
    sizes += ["--eval.relearn_steps=1"] if "--eval.relearn_steps" in words else []
    return [model, "--dataset=nursery", *words, *sizes]  # the last value counts: a model and dataset of the command's own


def small_evaluation(words: list[str]) -> list[str]:
    words = [re.sub(r"checkpoint-\d+", "checkpoint-3", word) for word in words]
    small = ["--n_samples=2", "--show=1", *(["--relearn_steps=1", "--relearn_hack_rate=1"] if "--relearn_steps" in words else [])]
    return words if words[0] == "export" or "--prompt" in words else [*words, *small]


def assert_shows_help(main: Callable[[], object]) -> None:
    with pytest.raises(SystemExit) as stop:
        main()
    assert stop.value.code == 0


def assert_module_takes(words: list[str]) -> None:
    """Without running it: `-m MODULE` exists, and its help, asked for behind the other words, names every option."""
    flag, name, *words = words
    module = importlib.import_module(name)
    if hasattr(module, "__path__"):
        module = importlib.import_module(f"{name}.__main__")
    assert flag == "-m" and callable(module.main)
    if not words:
        return
    with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stdout(io.StringIO()) as shown:
        patch.setattr(sys, "argv", [name, *words, "--help"])
        assert_shows_help(module.main)
    assert {word.partition("=")[0] for word in words if word.startswith("--")} <= {*re.findall(r"--\w+", shown.getvalue())}


def assert_ray_takes(words: list[str]) -> None:
    from ray.scripts.scripts import cli  # here, because it takes seconds

    cli.commands[words[0]].make_context(words[0], words[1:])  # raises ClickException for what it does not know


def assert_wandb_takes(words: list[str]) -> None:
    from wandb.cli.cli import cli  # likewise

    cli.commands[words[0]].make_context(words[0], words[1:])


ELSEWHERE = {"python": assert_module_takes, "ray": assert_ray_takes, "wandb": assert_wandb_takes}


@pytest.mark.parametrize("command", COMMANDS, ids=str)
@pytest.mark.usefixtures("capsys")
def test_a_command_works(command: Command, carry_out: CarryOut):
    run_python(next(page for page in PAGES if page.name == command.page), train=lambda _: None)
    carry_out(command)


@pytest.mark.parametrize(
    "line",
    [
        "    uv run launch.py --reward happy_binari",
        "    uv run launch.py --rewards happy_binary",
        "    uv run launch.py --routing.mode classic",
        "    uv run sweep.py --reward happy_binary --grid seed=1,2",  # takes long
        "    uv run sweep.py --grid sead=1,2  # long: hours",
        "    uv run sweep.py configs/sweeps/nothing.py  # long: hours",
        "    uv run evaluate.py --model_path output/RUN/checkpoint-300 --samples 3",
        "    uv run evaluate.py export --model_path output/RUN/checkpoint-300 --mode retain --out retain",
        "    uv run report.py output/NOTHING",
        "    uv run python -m bench.report_page output/RUN --bus 200  # long: a minute",
        "    uv run python -m bench.report_pages  # long: a minute",
        "    uv run pytest --fast",
        "    uv run serve.py",
        "    uv run launch.py \\\n        --reward happy_binary \\\n        --seeds 3",
        "With `uv run launch.py --seeds 3` it starts.",
        "```\nuv run launch.py --seeds 3\n```",
    ],
)
@pytest.mark.usefixtures("capsys")
def test_a_mistake_in_a_command_is_noticed(line: str, carry_out: CarryOut):
    (command,) = commands_in("page.md", f"Some text.\n\n{line}\n\nMore text.\n")
    with pytest.raises((AssertionError, ImportError)):
        carry_out(command)
