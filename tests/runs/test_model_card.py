"""The card of an export: what it says of loading holds when it is run, its figures and settings are the run's."""

import json
import re
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from huggingface_hub import ModelCard
from torch import Tensor

import evaluate
from configs.naming import NOT_IDENTITY
from grpo.run import Run
from routing.adapters import scaled
from routing.modes import MODES
from runs.export import export_checkpoint, peft_config
from runs.model_card import base_text, front_matter, hub_ids, settings_text
from runs.restore import load_run
from tests.helpers import random_prompts, right_padded

IDS = right_padded(random_prompts([9, 9, 9], vocab=4096))
DUAL = ("both", "retain_only", "forget_only")


def card_of(folder: Path) -> str:
    return (folder / "README.md").read_text()


def blocks(card: str, folder: Path) -> list[str]:
    """The card's pieces of Python, of a folder that is not on the hub."""
    return [code.replace("OWNER/NAME", str(folder)) for code in re.findall(r"```python\n(.*?)```", card, re.DOTALL)]


@torch.no_grad()
def logits(model: Any) -> Tensor:
    return model(IDS).logits


@torch.no_grad()
def our_logits(run: Run, mode: str) -> Tensor:
    with scaled(run.policy, MODES["dual_lora"][mode]):
        return run.policy(IDS) @ run.policy.head.T


def is_near(a: Tensor, b: Tensor) -> bool:
    return bool((a - b).abs().max() < 1e-5)


@pytest.mark.parametrize(("kind", "mode"), [("routed", "both"), ("routed", "retain_only"), ("full", "policy")])
def test_the_pipeline_goes_on_from_a_prompt_as_evaluate_does(checkpoint, tmp_path: Path, capsys, kind: str, mode: str):
    """transformers' pipeline, as the card has it, in the very words of `--prompt`: nothing stands behind the prompt."""
    folder = checkpoint(kind)
    export_checkpoint(folder, mode, "hf", tmp_path / "out")
    (code,) = blocks(card_of(tmp_path / "out"), tmp_path / "out")
    assert evaluate.main(["--model_path", str(folder), "--prompt", "once upon a time", "--temperature", "0"]) == 0
    lines = capsys.readouterr().out.splitlines()
    ours = next(line.partition(" >> ")[2] for line in lines if line.split()[0] == mode)
    exec(code, {})
    assert ours and " ".join(capsys.readouterr().out.split()) == ours
    assert len({line.partition(" >> ")[2] for line in lines}) > 1, "else no test could tell the modes apart"


@pytest.fixture(params=["routed", "half_stride"])
def loaded(checkpoint, tmp_path: Path, request: pytest.FixtureRequest) -> tuple[Run, dict[str, Any], list[str], str]:
    """A run, what the card's first piece of Python makes of its exported adapters, the other pieces, and the ranks' kind.

    The folder has moved, as one does that is uploaded: nothing in it says where it was.
    """
    folder = checkpoint(request.param)
    export_checkpoint(folder, "both", "peft", tmp_path / "first")
    shutil.move(tmp_path / "first", tmp_path / "moved")
    first, *others = blocks(card_of(tmp_path / "moved"), tmp_path / "moved")
    names: dict[str, Any] = {}
    exec(first, names)
    names["model"].eval()
    return load_run(folder, "cpu"), names, others, request.param


def test_peft_computes_each_mode_by_the_card_s_lines(loaded):
    run, names, (modes, cat), _ = loaded
    lines = modes.splitlines()
    assert len(lines) == 3
    for line in lines:
        exec(line, names)
        mode = re.findall(r"# (\w+)", line)[0]
        assert [name for name in DUAL if is_near(logits(names["model"]), our_logits(run, name))] == [mode]
    exec(cat, names)
    assert is_near(logits(names["model"]), our_logits(run, "both"))
    with names["model"].disable_adapter():
        assert is_near(logits(names["model"]), our_logits(run, "base"))


def test_other_combinations_are_other_models_as_the_card_says(loaded):
    """Ranks 4 and 4; or 3 and 4, which do not add up factor by factor."""
    run, names, _, kind = loaded
    model, both = names["model"], our_logits(run, "both")
    model.add_weighted_adapter(["retain", "forget"], [1.0, 1.0], "svd", combination_type="svd")
    model.set_adapter("svd")
    assert not is_near(logits(model), both)
    if kind == "half_stride":
        with pytest.raises(ValueError, match="same r value"):
            model.add_weighted_adapter(["retain", "forget"], [1.0, 1.0], "linear", combination_type="linear")
        return
    model.add_weighted_adapter(["retain", "forget"], [1.0, 1.0], "linear", combination_type="linear")
    model.set_adapter("linear")
    assert (logits(model) - both).abs().max() > 0.01


@pytest.mark.parametrize("form", ["hf", "peft"])
def test_nothing_in_the_folder_is_of_this_machine(checkpoint, tmp_path: Path, form: str):
    export_checkpoint(checkpoint("routed"), "both", form, tmp_path / "out")
    files = [path for path in (tmp_path / "out").rglob("*") if path.is_file()]
    assert not [path for path in files if path.suffix != ".safetensors" and "/tmp" in path.read_text()]
    assert not [path for path in files if path.name.startswith(".") or path.suffix in (".lock", ".tmp")]


def test_the_settings_are_those_of_config_yaml_that_make_it_this_experiment(checkpoint, tmp_path: Path):
    folder = checkpoint("routed")
    export_checkpoint(folder, "both", "hf", tmp_path / "out")
    settings = yaml.safe_load(re.findall(r"```yaml\n(.*?)```", card_of(tmp_path / "out"), re.DOTALL)[0])
    expected = yaml.safe_load((folder.parent / "config.yaml").read_text())
    for group, _, key in (name.rpartition(".") for name in NOT_IDENTITY):
        del (expected[group] if group else expected)[key]
    assert expected.pop("wandb") == {}
    assert settings == expected | {"model": "tiny"}  # of a folder's path, its name


def rows_of(card: str) -> dict[str, list[str]]:
    """The cells of the table of figures, by mode, and its heads under `mode`."""
    rows = [[cell.strip(" `") for cell in line.strip("|").split("|")] for line in card.splitlines() if line.startswith("| ")]
    return {name: cells for name, *cells in rows}


def test_the_figures_are_those_of_the_run_at_that_step(checkpoint, tmp_path: Path):
    """Of step 2, training's evaluation of 8 samples; of step 3, the one at the end, of 12."""
    folder = checkpoint("routed")
    evaluations = [json.loads(line) for line in (folder.parent / "routing_eval.jsonl").read_text().splitlines()]
    for step, samples in ((2, "8"), (3, "12")):
        export_checkpoint(folder.with_name(f"checkpoint-{step}"), None, "hf", tmp_path / f"out-{step}")
        rows = rows_of(card_of(tmp_path / f"out-{step}"))
        for row in (row for row in evaluations if row["step"] == step):
            cells = dict(zip(rows["mode"], rows[row["mode"]], strict=True))
            assert cells["samples"] == samples
            assert all(cells[name] == f"{row[name]:.3f}" for name in ("reward", "hacked", "nll_base", "rewards/happy_bonus"))


def test_the_figures_are_those_of_a_later_evaluation_which_is_said(checkpoint, tmp_path: Path):
    folder = checkpoint("routed")
    words = ["--model_path", str(folder), "--n_samples", "4", "--temperature", "0", "--no_routing_eval", "--show", "0"]
    assert evaluate.main(words) == 0
    export_checkpoint(folder, None, "hf", tmp_path / "out")
    figures = json.loads((folder / "evaluation.json").read_text())["modes"]
    card, rows = card_of(tmp_path / "out"), rows_of(card_of(tmp_path / "out"))
    assert rows.keys() == {"mode", "---", "both", "base"}
    assert rows["both"][:2] == ["4", f"{figures['both']['reward']:.3f}"] and rows["both"][7] == "–"
    assert "'temperature': 0.0" in card and "not the run's own" not in card


def test_without_an_evaluation_the_card_says_so(checkpoint, tmp_path: Path):
    folder = checkpoint("lora")
    (folder.parent / "routing_eval.jsonl").unlink()
    export_checkpoint(folder, None, "hf", tmp_path / "out")
    assert "Not evaluated at this step." in card_of(tmp_path / "out") and "| mode" not in card_of(tmp_path / "out")


def test_the_hub_reads_what_the_card_begins_with(checkpoint, tmp_path: Path):
    """Of the base model's own card, licence and language hold here, too."""
    folder = checkpoint("routed")
    run = load_run(folder, "cpu")
    (tmp_path / "README.md").write_text("---\nlicense: other\nlicense_name: own\nlanguage: en\nlibrary_name: x\n---\n# Base\n")
    export_checkpoint(folder, "both", "hf", tmp_path / "out")
    tags = ["small-rl", "grpo", "gradient-routing"]
    expected = {"library_name": "transformers", "pipeline_tag": "text-generation", "tags": tags}
    assert ModelCard.load(tmp_path / "out" / "README.md").data.to_dict() == expected
    hub = {"model": "owner/name", "dataset": "owner/stories"}
    data = yaml.safe_load(front_matter(run.config, "peft", hub, tmp_path / "README.md"))
    assert data == {
        "base_model": "owner/name", "base_model_relation": "adapter", "datasets": "owner/stories", "language": "en",
        "library_name": "peft", "license": "other", "license_name": "own", "pipeline_tag": "text-generation",
        "tags": [*tags, "lora"],
    }  # fmt: skip


def test_of_model_and_dataset_the_hub_s_are_told_from_local_ones(checkpoint):
    folder = checkpoint("lora")
    run = load_run(folder, "cpu")
    config = replace(run.config, model="owner/name", dataset="models/stories")
    assert hub_ids(run.config, folder.parent) == {}
    file = folder.parent / "run.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"paths": {"dataset": "/gone/models/stories"}}))
    assert hub_ids(config, folder.parent) == {"model": "owner/name"}
    assert "https://huggingface.co/owner/name" in base_text(config, {"model": "owner/name"}, run.fingerprint)
    assert peft_config(run, "lora", "owner/name")["base_model_name_or_path"] == "owner/name"
    settings = yaml.safe_load(settings_text(replace(config, dataset="/data/stories")))
    assert (settings["model"], settings["dataset"]) == ("owner/name", "stories")
