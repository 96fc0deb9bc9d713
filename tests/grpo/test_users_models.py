"""Runs of models as users have them: several EOS, a padded vocabulary, a head of its own under a tied config."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer

from configs.experiment import Experiment
from configs.naming import to_dict
from grpo.run import Run, build_run, prepare
from grpo.step import train_step
from records.folder import create
from runs.checkpoint import load_checkpoint, save_checkpoint
from runs.restore import made_of

MakeExperiment = Callable[..., Experiment]
EOS = 1


@pytest.fixture
def folder(model_folder: Path, tmp_path: Path) -> Path:
    shutil.copytree(model_folder, tmp_path / "users")
    return tmp_path / "users"


def built(make: MakeExperiment, folder: Path, **settings: object) -> Run:
    return build_run(prepare(make(model=str(folder), batch_size=16, **settings)))


def test_any_eos_ends_a_completion_and_is_no_part_of_it(tiny: MakeExperiment, folder: Path):
    """A common word is made an EOS, beside the usual one."""
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    tokenizer.add_special_tokens(["very"])
    tokenizer.save(str(folder / "tokenizer.json"))
    very = tokenizer.token_to_id("very")
    (folder / "generation_config.json").write_text(json.dumps({"eos_token_id": [EOS, very]}))
    run = built(tiny, folder)
    (note,) = run.notes
    assert note.startswith(f"completions end with token {EOS} '[EOS]' or token {very} 'very', the EOS of generation_config.json")
    record = train_step(run)
    rows = zip(record.rollout.completion_ids.tolist(), record.rollout.mask.sum(1).tolist(), strict=True)
    last = [ids[length - 1] for ids, length in rows]
    assert {EOS, very} <= {*last}
    for completion, end in zip(record.completions, last, strict=True):
        assert completion.finished == (end in (EOS, very))
        assert not {EOS, very} & {*completion.token_ids}
        assert "very" not in completion.text


@pytest.mark.parametrize("kind", ["dual_lora", "none"])
def test_rows_of_padding_change_nothing(tiny: MakeExperiment, model_folder: Path, folder: Path, tmp_path: Path, kind: str):
    """They are large here: any probability they had would be all of it."""
    weights = load_file(folder / "model.safetensors")
    rows = torch.full((7, weights["model.embed_tokens.weight"].shape[1]), 9.0)
    weights["model.embed_tokens.weight"] = torch.cat([weights["model.embed_tokens.weight"], rows])
    save_file(weights, folder / "model.safetensors")
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"vocab_size": config["vocab_size"] + 7}))
    run, plain = (built(tiny, each, **{"adapter.kind": kind}) for each in (folder, model_folder))
    assert run.notes == ("the last 7 rows of the embedding stand for no token of the 4096; they are never sampled",)
    for _ in range(2):
        record, other = train_step(run), train_step(plain)
        assert [each.token_ids for each in record.completions] == [each.token_ids for each in other.completions]
        torch.testing.assert_close(record.rollout.logprobs, other.rollout.logprobs, atol=1e-5, rtol=0)
    embedding = run.policy.state_dict()["model.embed_tokens.weight"]
    assert torch.equal(embedding[-7:], rows)
    again = built(tiny, folder, **{"adapter.kind": kind})
    written = create(tmp_path / "run", to_dict(run.config), made_of(run), overwrite=False)
    load_checkpoint(again, save_checkpoint(run, written))
    written.close()
    state, restored = run.policy.state_dict(), again.policy.state_dict()
    assert all(torch.equal(state[name], restored[name]) for name in state)


def test_a_head_of_its_own_is_trained(tiny: MakeExperiment, folder: Path):
    weights = load_file(folder / "model.safetensors")
    weights["lm_head.weight"] = weights["model.embed_tokens.weight"] * 1.01
    save_file(weights, folder / "model.safetensors")
    run = built(tiny, folder)
    before = run.policy.state_dict()["lm_head.weight"].clone()
    train_step(run)
    assert not torch.equal(run.policy.state_dict()["lm_head.weight"], before)
    assert not run.policy.config.to_hf()["tie_word_embeddings"]
