"""Exported models and adapters compute what the run computes in the mode, in transformers' and PEFT's own code."""

import json
from pathlib import Path

import pytest
import torch
from peft import PeftModel
from torch import Tensor
from transformers import AutoModelForCausalLM, AutoTokenizer

from configs.errors import UserError
from grpo.run import Run
from models.llama import Llama
from routing.adapters import scaled
from routing.modes import MODES
from runs import export as export_module
from runs.export import export_checkpoint
from runs.restore import load_run
from tests.helpers import random_prompts, right_padded

IDS = right_padded(random_prompts([9, 9, 9], vocab=4096))
DUAL = ("both", "retain_only", "forget_only")


@torch.no_grad()
def our_logits(run: Run, mode: str) -> Tensor:
    with scaled(run.policy, MODES[str(run.config.adapter_kind)][mode] or None):
        return run.policy(IDS) @ run.policy.head.T


@torch.no_grad()
def their_logits(model) -> Tensor:
    return model(IDS).logits


def assert_equal(logits: Tensor, expected: Tensor) -> None:
    torch.testing.assert_close(logits, expected, atol=1e-5, rtol=0)


@pytest.mark.parametrize(
    ("kind", "mode"),
    [*(("routed", mode) for mode in DUAL), *(("half_stride", mode) for mode in DUAL), ("lora", "policy"), ("full", "policy")],
)
def test_transformers_computes_the_mode_from_merged_weights(checkpoint, tmp_path: Path, kind: str, mode: str):
    run = load_run(folder := checkpoint(kind), "cpu")
    export_checkpoint(folder, mode, "hf", tmp_path / "out")
    assert_equal(their_logits(AutoModelForCausalLM.from_pretrained(tmp_path / "out")), our_logits(run, mode))


@pytest.mark.parametrize("kind", ["routed", "half_stride"])
def test_no_two_modes_compute_the_same(checkpoint, kind: str):
    """Else the tests above could not tell them apart."""
    run = load_run(checkpoint(kind), "cpu")
    logits = {mode: our_logits(run, mode) for mode in (*DUAL, "base")}
    differences = [(logits[a] - logits[b]).abs().max() for a in logits for b in logits if a < b]
    assert min(differences) > 0.01


@pytest.mark.parametrize(("kind", "trained"), [("routed", "both"), ("lora", "policy"), ("full", "policy")])
def test_without_a_mode_the_trained_policy_is_exported(checkpoint, tmp_path: Path, kind: str, trained: str):
    run = load_run(folder := checkpoint(kind), "cpu")
    export_checkpoint(folder, None, "hf", tmp_path / "out")
    assert_equal(their_logits(AutoModelForCausalLM.from_pretrained(tmp_path / "out")), our_logits(run, trained))


def test_the_tokenizer_goes_along(checkpoint, tmp_path: Path):
    run = load_run(folder := checkpoint("lora"), "cpu")
    export_checkpoint(folder, "policy", "hf", tmp_path / "out")
    expected = run.tokenizer.encode("Once upon a happy time.", add_special_tokens=False).ids
    assert (
        AutoTokenizer.from_pretrained(tmp_path / "out")("Once upon a happy time.", add_special_tokens=False).input_ids == expected
    )


@pytest.fixture(params=["routed", "half_stride"])
def exported_adapters(checkpoint, tmp_path: Path, request: pytest.FixtureRequest) -> tuple[Run, Path]:
    """A run and the folder with its PEFT adapters; every second layer of one is adapted."""
    run = load_run(folder := checkpoint(request.param), "cpu")
    export_checkpoint(folder, "both", "peft", tmp_path / "deep" / "out")
    return run, tmp_path / "deep" / "out"


def test_peft_computes_each_mode_from_the_two_adapters(exported_adapters):
    run, out = exported_adapters
    base = AutoModelForCausalLM.from_pretrained(out / "base")
    assert_equal(their_logits(base), our_logits(run, "base"))
    model = PeftModel.from_pretrained(base, out / "retain", adapter_name="retain").eval()
    assert_equal(their_logits(model), our_logits(run, "retain_only"))
    model.load_adapter(out / "forget", adapter_name="forget")
    model.set_adapter("forget")
    assert_equal(their_logits(model), our_logits(run, "forget_only"))
    model.base_model.set_adapter(["retain", "forget"])
    assert_equal(their_logits(model), our_logits(run, "both"))


def test_peft_finds_no_key_missing_or_unexpected(exported_adapters):
    _, out = exported_adapters
    model = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(out / "base"), out / "retain", adapter_name="retain")
    result = model.load_adapter(out / "forget", adapter_name="forget")
    assert result.unexpected_keys == [] and not [key for key in result.missing_keys if "lora" in key]


def test_the_adapter_config_says_all_that_rebuilds_it(checkpoint, tmp_path: Path):
    """Two layers, stride 2: the first alone. alpha 6.0, ranks 3 and 4."""
    export_checkpoint(checkpoint("half_stride"), "both", "peft", tmp_path / "out")
    configs = {name: json.loads((tmp_path / "out" / name / "adapter_config.json").read_text()) for name in ("retain", "forget")}
    assert {name: config["r"] for name, config in configs.items()} == {"retain": 3, "forget": 4}
    for config in configs.values():
        assert (config["peft_type"], config["task_type"], config["lora_alpha"]) == ("LORA", "CAUSAL_LM", 6.0)
        assert (config["target_modules"], config["layers_to_transform"]) == (list(Llama.targets), [0])
        assert config["base_model_name_or_path"] is None  # a local folder has no name that holds elsewhere


@pytest.mark.parametrize(
    ("kind", "mode", "written"),
    [
        ("routed", "both", {"README.md", "base", "retain", "forget"}),
        ("routed", "retain_only", {"README.md", "base", "retain"}),
        ("routed", "forget_only", {"README.md", "base", "forget"}),
        ("lora", "policy", {"README.md", "base", "lora"}),
    ],
)
def test_peft_gets_the_adapters_that_are_on_in_the_mode(checkpoint, tmp_path: Path, kind: str, mode: str, written: set[str]):
    export_checkpoint(checkpoint(kind), mode, "peft", tmp_path / "out")
    assert {path.name for path in (tmp_path / "out").iterdir()} == written


def test_peft_computes_a_single_lora(checkpoint, tmp_path: Path):
    run = load_run(folder := checkpoint("lora"), "cpu")
    export_checkpoint(folder, "policy", "peft", tmp_path / "out")
    base = AutoModelForCausalLM.from_pretrained(tmp_path / "out" / "base")
    assert_equal(their_logits(PeftModel.from_pretrained(base, tmp_path / "out" / "lora").eval()), our_logits(run, "policy"))


@pytest.mark.parametrize(
    ("kind", "mode", "form", "message"),
    [
        (
            "routed",
            "policy",
            "hf",
            "--mode policy: accepted for a run of --adapter.kind dual_lora: both, retain_only, forget_only",
        ),
        ("lora", "both", "hf", "--mode both: accepted for a run of --adapter.kind lora: policy"),
        ("full", "retain_only", "hf", "--mode retain_only: accepted for a run of --adapter.kind none: policy"),
        ("full", "policy", "peft", "--format peft: full fine-tuning has no adapters; use hf"),
    ],
)
def test_what_the_run_does_not_have_is_refused(checkpoint, tmp_path: Path, kind: str, mode: str, form: str, message: str):
    with pytest.raises(UserError) as caught:
        export_checkpoint(checkpoint(kind), mode, form, tmp_path / "out")
    assert str(caught.value) == message
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("occupied", ["out", "out.tmp"])
def test_an_existing_folder_is_left_alone(checkpoint, tmp_path: Path, occupied: str):
    folder = checkpoint("lora")
    (tmp_path / occupied).mkdir()
    (tmp_path / occupied / "precious").touch()
    with pytest.raises(UserError, match=f"--out .*out: .*{occupied} exists"):
        export_checkpoint(folder, "policy", "hf", tmp_path / "out")
    assert [path.name for path in (tmp_path / occupied).iterdir()] == ["precious"]


def test_a_full_disk_leaves_no_half_of_a_folder(checkpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def no_space(*_):
        raise OSError(28, "No space left on device")

    folder = checkpoint("routed")
    monkeypatch.setattr(export_module, "write_json", no_space)
    with pytest.raises(UserError, match="No space left on device"):
        export_checkpoint(folder, "both", "peft", tmp_path / "out")
    assert not (tmp_path / "out").exists() and not (tmp_path / "out.tmp").exists()
