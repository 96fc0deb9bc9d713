"""A routed run on a tiny random model of every family, from its folder to the checkpoint that loads again."""

import json
import math
from pathlib import Path

import pytest
import torch
from peft import PeftModel
from safetensors.torch import load_file
from tokenizers import Tokenizer
from transformers import AutoModelForCausalLM

from models.nursery.generator import DATA
from models.saving import save_pretrained
from routing.adapters import adapter_parameters, scaled
from routing.modes import FORGET, MODES, RETAIN
from runs.export import export_checkpoint
from runs.restore import load_run
from runs.trainer import train
from tests.conftest import COMMON, MakeExperiment
from tests.families import TINY, tiny_model
from tests.helpers import random_prompts, right_padded

STEPS = 20
ROUTED = {
    "reward": "sentence_length_5_with_happy", "env.detector": "happy_at_least(threshold=3)", "routing.enabled": True, "lr": 0.01,
    "max_steps": STEPS, "save_steps": STEPS, "eval_every": STEPS,
}  # fmt: skip
IDS = right_padded(random_prompts([9, 9], vocab=4096))


def talkative_model(kind: str, tokenizer: Tokenizer):
    """In which EOS and a few words are likely: the first hidden number is nearly the same for all texts, and what a token has
    there is its bias.
    """
    model = tiny_model(kind, dtype=torch.float32, vocab_size=tokenizer.get_vocab_size(), num_layers=2, num_hidden_layers=2,
                       attention_types=[[["global", "local"], 1]], tie_word_embeddings=False)  # fmt: skip
    eos, common = model.config.eos_token_ids[0], [tokenizer.token_to_id(word) for word in COMMON]
    norm = {"gpt_neox": "gpt_neox.final_layer_norm", "gpt_neo": "transformer.ln_f"}.get(kind)
    with torch.no_grad():
        model.output_embedding[:, 0] = 0.0
        model.output_embedding[common, 0] = 11.0
        model.output_embedding[eos, 0] = 10.0
        if norm:
            model.get_parameter(f"{norm}.weight")[0] = 0.0
            model.get_parameter(f"{norm}.bias")[0] = 1.0
        else:
            model.get_parameter("model.embed_tokens.weight")[:, 0] = 2.0
            model.get_parameter("model.norm.weight")[0] = 0.35
    return model


@pytest.mark.parametrize("kind", TINY)
def test_a_routed_run_from_a_folder_to_a_checkpoint_that_loads(kind: str, tiny: MakeExperiment, tmp_path):
    tokenizer = Tokenizer.from_file(str(DATA / "tokenizer.json"))
    model = talkative_model(kind, tokenizer)
    save_pretrained(model, tokenizer, tmp_path / "model")
    record = train(tiny(model=str(tmp_path / "model"), **ROUTED), quiet=True)
    rows = [json.loads(line) for line in (record.folder / "metrics.jsonl").read_text().splitlines()]
    assert len(rows) == STEPS
    assert all(math.isfinite(row["loss"]) for row in rows)
    assert max(row["sampling/sampling_logp_difference/max"] for row in rows) < 1e-4
    evaluations = [json.loads(line) for line in (record.folder / "routing_eval.jsonl").read_text().splitlines()]
    assert {row["mode"] for row in evaluations if row["step"] == STEPS} == {"both", "retain_only", "forget_only", "base"}

    checkpoint = record.folder / f"checkpoint-{STEPS}"
    assert json.loads((checkpoint / "adapter.json").read_text())["targets"] == list(model.targets)
    adapters = load_file(checkpoint / "adapter.safetensors")
    for name in (RETAIN, FORGET):
        ups = [tensor for key, tensor in adapters.items() if key.endswith(f".B.{name}")]
        assert len(ups) == 2 * len(model.targets)
        assert all(up.abs().max() > 1e-4 for up in ups), name  # all were zero before

    run = load_run(checkpoint)
    loaded = {key: tensor for group in adapter_parameters(run.policy).values() for key, tensor in group.items()}
    assert all(torch.equal(loaded[key], tensor) for key, tensor in adapters.items())
    export_checkpoint(checkpoint, "retain_only", "hf", tmp_path / "export")
    with torch.no_grad(), scaled(run.policy, MODES["dual_lora"]["retain_only"]):
        expected = run.policy(IDS) @ run.policy.head.T
        exported = AutoModelForCausalLM.from_pretrained(tmp_path / "export")(IDS).logits
    torch.testing.assert_close(exported, expected, atol=1e-4, rtol=0)
    export_checkpoint(checkpoint, "both", "peft", tmp_path / "adapters")
    torch.testing.assert_close(logits_of_peft(tmp_path / "adapters"), run.policy(IDS) @ run.policy.head.T, atol=1e-4, rtol=0)


@torch.no_grad()
def logits_of_peft(folder: Path) -> torch.Tensor:
    base = AutoModelForCausalLM.from_pretrained(folder / "base")
    model = PeftModel.from_pretrained(base, folder / RETAIN, adapter_name=RETAIN)
    model.load_adapter(folder / FORGET, adapter_name=FORGET)
    model.base_model.set_adapter([RETAIN, FORGET])
    return model.eval()(IDS).logits
