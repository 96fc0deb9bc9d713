"""Folders written by us are read by transformers and the other way round; what does not fit is one line to the user."""

import hashlib
import json

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM, AutoTokenizer

from models.loading import load_pretrained
from models.saving import save_pretrained
from models.weights import fingerprint
from tests.helpers import tiny_llama, tiny_tokenizer, transformers_twin
from tests.models.folders import IDS, error_of, logits_of, rewrite_config, rewrite_weights

SHAPES = {
    "tied": {},
    "untied": {"tie_word_embeddings": False},
    "biases and wide heads": {"attention_bias": True, "mlp_bias": True, "head_dim": 6, "rope_theta": 77.0, "rms_norm_eps": 0.01},
}


@pytest.mark.parametrize("changes", SHAPES.values(), ids=SHAPES)
@torch.no_grad()
def test_transformers_reads_what_we_save(tmp_path, changes):
    model = tiny_llama(dtype=torch.float32, **changes)
    save_pretrained(model, tiny_tokenizer(), tmp_path / "deep" / "folder")
    twin = AutoModelForCausalLM.from_pretrained(tmp_path / "deep" / "folder")
    torch.testing.assert_close(twin(IDS).logits, logits_of(model), atol=1e-5, rtol=0)
    assert (twin.config.eos_token_id,) == model.config.eos_token_ids


def test_transformers_reads_the_tokenizer_we_save(folder):
    tokenizer = AutoTokenizer.from_pretrained(folder)
    assert tokenizer.eos_token_id == 1
    expected = tiny_tokenizer().encode("cab fa", add_special_tokens=False).ids
    assert tokenizer("Cab fa", add_special_tokens=False).input_ids == expected


@pytest.mark.parametrize("changes", SHAPES.values(), ids=SHAPES)
@torch.no_grad()
def test_we_read_what_transformers_saves(tmp_path, changes):
    twin = transformers_twin(tiny_llama(dtype=torch.float32, **changes))
    twin.save_pretrained(tmp_path)
    tiny_tokenizer().save(str(tmp_path / "tokenizer.json"))
    loaded = load_pretrained(str(tmp_path))
    torch.testing.assert_close(logits_of(loaded.model), twin(IDS).logits, atol=1e-5, rtol=0)


def test_what_is_saved_comes_back_exactly(folder):
    loaded = load_pretrained(str(folder))
    original = tiny_llama(dtype=torch.float32)
    assert loaded.model.config == original.config
    assert list(loaded.model.state_dict()) == list(original.state_dict())
    for name, parameter in loaded.model.named_parameters():
        assert torch.equal(parameter, original.get_parameter(name)), name
        assert parameter.requires_grad, name
    assert loaded.tokenizer.to_str() == tiny_tokenizer().to_str()


def test_the_fingerprint_is_a_digest_of_sorted_names_and_bytes(folder):
    weights = load_file(folder / "model.safetensors")
    expected = hashlib.sha256()
    for name in sorted(weights):
        expected.update(name.encode() + weights[name].numpy().tobytes())
    assert load_pretrained(str(folder)).fingerprint == expected.hexdigest()


def test_the_fingerprint_sees_one_changed_weight_and_one_changed_name():
    weights = {"a": torch.tensor([[1.0, 2.0], [3.0, 4.0]]), "b": torch.tensor([5.0])}
    same = {"b": torch.tensor([5.0]), "a": torch.tensor([[1.0, 3.0], [2.0, 4.0]]).T}
    assert fingerprint(weights) == fingerprint(same)
    for changed in ({"a": weights["a"], "b": torch.tensor([5.0000005])}, {"a": weights["a"], "c": weights["b"]}):
        assert fingerprint(weights) != fingerprint(changed)


def shard(folder):
    """Splits the weights into two files and an index, as transformers does with large models."""
    weights = load_file(folder / "model.safetensors")
    names = sorted(weights)
    parts = {"model-00001-of-00002.safetensors": names[::2], "model-00002-of-00002.safetensors": names[1::2]}
    for file, part in parts.items():
        save_file({name: weights[name] for name in part}, folder / file)
    weight_map = {name: file for file, part in parts.items() for name in part}
    (folder / "model.safetensors.index.json").write_text(json.dumps({"metadata": {}, "weight_map": weight_map}))
    (folder / "model.safetensors").unlink()


def test_shards_are_read_as_their_index_lists_them(folder):
    whole = load_pretrained(str(folder))
    shard(folder)
    loaded = load_pretrained(str(folder))
    assert loaded.fingerprint == whole.fingerprint
    assert torch.equal(logits_of(loaded.model), logits_of(whole.model))


def test_a_missing_shard_is_named(folder):
    shard(folder)
    (folder / "model-00002-of-00002.safetensors").unlink()
    assert error_of(folder).endswith("model.safetensors.index.json names model-00002-of-00002.safetensors, missing here")


NORM, Q = "model.norm.weight", "model.layers.1.self_attn.q_proj.weight"
UNFIT = {
    "a missing key": (lambda weights: {key: t for key, t in weights.items() if key != NORM}, [f"missing: {NORM}"]),
    "an extra key": (lambda weights: weights | {"model.extra.weight": torch.ones(1)}, ["unexpected: model.extra.weight"]),
    "a wrong shape": (lambda weights: weights | {Q: torch.ones(16, 12)}, [f"{Q} has the shape [16, 12], not [16, 16]"]),
}


@pytest.mark.parametrize(("change", "named"), UNFIT.values(), ids=UNFIT)
def test_weights_that_do_not_fit_the_config_are_named(folder, change, named):
    rewrite_weights(folder, change)
    message = error_of(folder)
    for part in ("its weights do not fit its config.json", *named):
        assert part in message


def test_an_untied_config_needs_its_own_head(folder):
    rewrite_config(folder, tie_word_embeddings=False)
    assert "lm_head.weight" in error_of(folder)


UNREADABLE = {
    "no config": (lambda folder: (folder / "config.json").unlink(), ["has no config.json"]),
    "no weights": (lambda folder: (folder / "model.safetensors").unlink(), ["has no model.safetensors"]),
    "no tokenizer": (lambda folder: (folder / "tokenizer.json").unlink(), ["has no tokenizer.json"]),
    "a broken config": (lambda folder: (folder / "config.json").write_text("{"), ["config.json cannot be read"]),
    "a binary config": (lambda folder: (folder / "config.json").write_bytes(b"\xff\xfe"), ["config.json cannot be read"]),
    "a config that is a list": (lambda folder: (folder / "config.json").write_text("[]"), ["config.json cannot be read", "list"]),
    "broken weights": (
        lambda folder: (folder / "model.safetensors").write_bytes(b"{" * 99),
        ["model.safetensors cannot be read"],
    ),
    "a broken tokenizer": (lambda folder: (folder / "tokenizer.json").write_text("{}"), ["tokenizer.json cannot be read"]),
    "another architecture": (lambda folder: rewrite_config(folder, model_type="gpt2"), ["'gpt2' is not supported", "'llama'"]),
    "a missing field": (lambda folder: rewrite_config(folder, num_attention_heads=None), ["lacks num_attention_heads"]),
    "an empty folder": (lambda folder: [file.unlink() for file in folder.iterdir()], ["has no config.json"]),
}


@pytest.mark.parametrize(("damage", "named"), UNREADABLE.values(), ids=UNREADABLE)
def test_a_damaged_folder_is_one_line_that_names_the_damage(folder, damage, named):
    damage(folder)
    message = error_of(folder)
    for part in named:
        assert part in message


def test_an_index_without_a_weight_map_is_not_blamed_on_the_tokenizer(folder):
    shard(folder)
    (folder / "model.safetensors.index.json").write_text("{}")
    message = error_of(folder)
    assert "weight_map" in message
    assert "tokenizer" not in message


@pytest.mark.parametrize("name", ["nowhere", "/no/where", "./no/where", "~/where", "a/b/c"])
def test_a_name_that_is_neither_folder_nor_hub_id_is_refused(name):
    assert "accepted are nursery, a local folder, or a hub id" in error_of(name)


def test_a_hub_model_that_cannot_be_reached_names_the_embedded_choice():
    message = error_of("nobody/no-such-model")
    assert "cannot be had from the Hugging Face hub" in message
    assert message.endswith("the embedded choice is --model nursery")
