"""Help: every option that a door takes, what it is, its real default, and what the names among its values stand for."""

import ast
import inspect
import re
from dataclasses import fields, is_dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

import evaluate
import launch
import report
import sweep
from configs import experiment as settings_module
from configs.experiment import Experiment
from configs.help import entry_lines
from configs.resolve import LR_ADAPTERS, LR_FULL, flatten
from configs.resolved import ADAPTER_DEFAULTS

HIDDEN = {"sampling.top_k", "sampling.top_p"}
# What the default is where None stands for it, or where it is nothing.
IN_WORDS = {
    "lr": f"{LR_ADAPTERS:.0e} with adapters, else {LR_FULL:.0e}".replace("e-0", "e-"),
    "advantages": "good_only with routing or filter, else group",
    "reward_penalty_on": "forget where the reward has such components, else all",
    "adapter.kind": "dual_lora with routing, else none",
    "threads": "OMP_NUM_THREADS, else what is fastest now: all, or fewer beside busy programs",
    "env.detector": "the one that the reward names",
    "eval.relearn_hack_rate": "half way between the base's and the policy's",
    **{f"adapter.{name}": str(value) for name, value in ADAPTER_DEFAULTS.items()},
    **dict.fromkeys(["name", "tags", "notes", "continue_from", "wandb.group", "adapter.preset", "lora_rank"], "none"),
}


def documented() -> dict[str, str]:
    """{dotted name: docstring under the field}, read from the source."""
    texts: dict[str, str] = {}

    def visit(settings: type, prefix: str) -> None:
        (definition,) = ast.parse(inspect.getsource(settings)).body
        body = definition.body
        below = {
            line.target.id: text.value.value
            for line, text in pairwise(body)
            if isinstance(line, ast.AnnAssign) and isinstance(text, ast.Expr)
        }
        for entry in fields(settings):
            if is_dataclass(entry.type):
                visit(entry.type, f"{prefix}{entry.name}.")
            else:
                texts[f"{prefix}{entry.name}"] = " ".join(below[entry.name].split())

    visit(settings_module.Experiment, "")
    return texts


def help_entries(printed: str) -> dict[str, str]:
    """{option: its entry}, with frames and line breaks removed. Entries are indented by less than four characters."""
    lines = [line.strip("│").rstrip() for line in printed.splitlines()]
    entries = [" ".join(entry.split()) for entry in re.split(r"\n(?= {1,3}--?[a-z])", "\n".join(lines))[1:]]
    return {re.sub(r"^(-h, )?--", "", entry).split()[0].rstrip(","): entry for entry in entries}


def help_of(door: Any, capsys: pytest.CaptureFixture[str], *words: str) -> str:
    with pytest.raises(SystemExit) as stop:
        door.main([*words, "--help"])
    printed = capsys.readouterr()
    assert (stop.value.code, printed.err) == (0, "")
    return printed.out


@pytest.mark.parametrize(
    "words",
    [["--help"], ["-h"], ["--max_steps", "5", "--help"], ["--config", "missing.yaml", "--help"], ["--max_steps", "x", "-h"]],
)
def test_help_exits_with_0_whatever_else_is_given(capsys: pytest.CaptureFixture[str], words: list[str]):
    with pytest.raises(SystemExit) as stop:
        launch.main(words)
    printed = capsys.readouterr()
    assert (stop.value.code, printed.err) == (0, "")
    assert "usage: launch.py" in printed.out
    assert "Train a very small language model" in printed.out


def test_help_explains_every_option_and_tells_its_default(capsys: pytest.CaptureFixture[str]):
    entries, texts = help_entries(help_of(launch, capsys)), documented()
    defaults = {name: value for name, value in flatten(Experiment()).items() if name not in HIDDEN | {"plugins"}}
    assert set(entries) == {*defaults, "plugin", "config", "resume", "print_config", "list", "help"}
    assert f"{texts['plugins']} (repeatable)" in entries["plugin"]
    for name, default in defaults.items():
        assert f"{texts[name]} (default: {IN_WORDS.get(name, default)})" in entries[name]
    assert {name for name, value in defaults.items() if value in (None, "", ())} == {*IN_WORDS}
    assert entries["config"].endswith("the command line wins.")
    assert entries["lr"].startswith("--lr FLOAT Peak")
    assert entries["adapter.kind"].startswith("--adapter.kind {none,lora,dual_lora} none")


@pytest.mark.parametrize(("door", "words"), [(launch, []), (sweep, []), (evaluate, []), (evaluate, ["export"]), (report, [])])
def test_no_help_offers_none_as_a_value_or_as_a_default(capsys: pytest.CaptureFixture[str], door: Any, words: list[str]):
    assert "None" not in help_of(door, capsys, *words)


def test_a_sweep_s_help_leaves_out_what_a_sweep_can_only_refuse(capsys: pytest.CaptureFixture[str]):
    offered = {*help_entries(help_of(sweep, capsys))}
    ours = {
        "grid",
        "fixed",
        "baselines",
        "jobs",
        "per_gpu",
        "mps",
        "backend",
        "address",
        "retries",
        "dry_run",
        "plugin",
        "config",
    }
    assert offered >= ours
    assert {*flatten(Experiment())} - offered == HIDDEN | {"plugins", "overwrite", "wandb.group"}


def test_what_is_not_offered_is_not_suggested_either(capsys: pytest.CaptureFixture[str]):
    assert sweep.main(["--overwrites"]) == launch.main(["--overwrites"]) == launch.main(["--top_k", "3"]) == 2
    in_sweep, in_launch, top_k = capsys.readouterr().err.splitlines()
    assert "(did you mean --overwrite?)" in in_launch
    assert "--overwrite?" not in in_sweep
    assert top_k == "error: --top_k: no such option; --help lists them"


@pytest.mark.parametrize("door", [launch, sweep])
def test_help_ends_with_what_names_stand_for(capsys: pytest.CaptureFixture[str], door: Any, tmp_path: Path):
    plugin = tmp_path / "mine.py"
    plugin.write_text(
        "from envs.registry import reward\n\n@reward()\ndef brevity(completions):\n"
        '    """How short it is. More of it."""\n    return [0.0 for _ in completions]\n'
    )
    plain, with_plugin = (" ".join(help_of(door, capsys, *words).split()) for words in ([], ["--plugin", str(plugin)]))
    for said in (
        "─ rewards (--reward) ─",
        'happy_binary 1 where "happy" occurs. │',
        'happy_at_least Whether "happy" occurs at least `threshold` times. │',
        "stories Prompts are the beginnings of stories, which the",
        "dapo The mean over all tokens of the batch (DAPO, │ │ arXiv:2503.14476, eq. 8). │",
    ):
        assert said in plain
    assert "brevity" not in plain
    assert "│ brevity How short it is. │" in with_plugin


@pytest.mark.parametrize("columns", [80, 120, 200])
def test_help_is_as_wide_as_the_terminal(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, columns: int):
    monkeypatch.setenv("COLUMNS", str(columns))
    framed = [line for line in help_of(launch, capsys).splitlines() if line[:1] in "╭│╰"[:3] and line]
    assert {len(line) for line in framed} == {columns}


def test_a_long_name_has_a_line_of_its_own():
    words = "one two three four five"
    assert entry_lines("a", words, 46) == [f"{'a':26}one two three four", f"{'':26}five"]
    assert entry_lines("a" * 26, "one", 80) == ["a" * 26, f"{'':26}one"]
    assert entry_lines("a", "", 80) == [f"{'a':26}"]


@pytest.mark.parametrize("word", ["--tyro-print-completion", "--tyro_write_completion"])
def test_completion_is_not_offered(capsys: pytest.CaptureFixture[str], word: str):
    assert launch.main([word, "bash", "x"]) == 2
    assert capsys.readouterr().err == f"error: {word}: no such option; --help lists them\n"
