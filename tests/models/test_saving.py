"""What came with a model comes along with its weights; in transformers' hands its tokenizer does what training did to prompts."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import huggingface_hub
import pytest
import torch
from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError, RemoteEntryNotFoundError
from safetensors.torch import load_file
from tokenizers import Tokenizer, processors
from transformers import AutoModelForCausalLM, AutoTokenizer, GenerationConfig

from configs.errors import UserError
from models.saving import files_of, hub_file, save_like, save_pretrained
from tests.helpers import EOS, tiny_llama, tiny_tokenizer

BOS, PAD = "[BOS]", "[PAD]"  # 32 and 33
CHAT = "{% for message in messages %}<{{ message.role }}> {{ message.content }} {% endfor %}"
TOKENIZER_SETTINGS = {
    "tokenizer_class": "LlamaTokenizerFast",  # builds a tokenizer of its own from the file, another one
    "bos_token": BOS,
    "eos_token": EOS,
    "pad_token": PAD,
    "add_bos_token": True,
    "add_eos_token": True,
    "chat_template": CHAT,
    "model_max_length": 64,
}
GENERATION = {"eos_token_id": [1, 0], "bos_token_id": 32, "pad_token_id": 33, "temperature": 0.6, "do_sample": True, "top_p": 0.9}
CARRIED = {"LICENSE": "ours", "chat_template.jinja": CHAT, "vocab.json": "{}", "merges.txt": "#version"}
LEFT = {"README.md": "# Theirs", "pretraining.json": "{}", "modeling_own.py": "raise SystemExit", "optimizer.pt": "x"}


def with_template(tokenizer: Tokenizer) -> None:
    ids = [(token, tokenizer.token_to_id(token)) for token in (BOS, EOS)]
    tokenizer.post_processor = processors.TemplateProcessing(f"{BOS} $A {EOS}", f"{BOS} $A {EOS} $B {EOS}", ids)


def with_template_behind_bytes(tokenizer: Tokenizer) -> None:
    """As Llama 3 has it."""
    with_template(tokenizer)
    template = tokenizer.post_processor
    tokenizer.post_processor = processors.Sequence([processors.ByteLevel(trim_offsets=False), template])


def with_state(tokenizer: Tokenizer) -> None:
    """As a tokenizer is saved that has padded and truncated a batch."""
    with_template(tokenizer)
    tokenizer.enable_padding(length=9, pad_id=33, pad_token=PAD)
    tokenizer.enable_truncation(max_length=4)


@pytest.fixture
def base_folder(tmp_path: Path) -> Callable[..., Path]:
    """`base_folder(change)`: a model as people have it, its tokenizer changed."""

    def make(change: Callable[[Tokenizer], None] = with_template) -> Path:
        folder, tokenizer = tmp_path / "base", tiny_tokenizer()
        tokenizer.add_special_tokens([BOS, PAD])
        change(tokenizer)
        save_pretrained(tiny_llama(dtype=torch.float32, vocab_size=tokenizer.get_vocab_size()), tokenizer, folder)
        config = json.loads((folder / "config.json").read_text())
        theta = config.pop("rope_parameters")["rope_theta"]
        del config["dtype"]
        own = {"rope_theta": theta, "rope_scaling": None, "torch_dtype": "bfloat16", "pad_token_id": 33, "use_cache": True}
        write(folder, {"config.json": config | own, "tokenizer_config.json": TOKENIZER_SETTINGS})
        write(folder, {"generation_config.json": GENERATION, **CARRIED, **LEFT})
        return folder

    return make


def write(folder: Path, contents: dict[str, Any]) -> None:
    for name, content in contents.items():
        (folder / name).write_text(content if isinstance(content, str) else json.dumps(content))


def exported(base: Path, out: Path, bos: tuple[str, ...] = (), seed: int = 1) -> list[str]:
    """Other weights in the place of the base's."""
    vocabulary = Tokenizer.from_file(str(base / "tokenizer.json")).get_vocab_size()
    return save_like(files_of(str(base)), tiny_llama(seed, torch.float32, vocab_size=vocabulary), bos, out)


def test_all_that_came_with_the_model_comes_along_and_nothing_else(base_folder, tmp_path: Path):
    base, out = base_folder(), tmp_path / "out"
    exported(base, out)
    copied = {*CARRIED, "generation_config.json"}
    assert {path.name for path in out.iterdir()} == copied | {
        "config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json",
    }  # fmt: skip
    assert all((out / name).read_bytes() == (base / name).read_bytes() for name in copied)


def test_the_config_is_the_base_s_but_for_the_dtype_of_what_is_written(base_folder, tmp_path: Path):
    base, out = base_folder(), tmp_path / "out"
    differences = exported(base, out)
    expected = json.loads((base / "config.json").read_text()) | {"dtype": "float32"}
    del expected["torch_dtype"]
    assert json.loads((out / "config.json").read_text()) == expected
    assert '`config.json`: `dtype` is "float32".' in differences
    assert {tensor.dtype for tensor in load_file(out / "model.safetensors").values()} == {torch.float32}


@torch.no_grad()
def test_transformers_reads_the_new_weights_by_the_base_s_config(base_folder, tmp_path: Path):
    exported(base_folder(), tmp_path / "out", seed=7)
    twin, model = AutoModelForCausalLM.from_pretrained(tmp_path / "out"), tiny_llama(7, torch.float32, vocab_size=34)
    ids = torch.tensor([[5, 6, 7, 8]])
    torch.testing.assert_close(twin(ids).logits, model(ids) @ model.head.T, atol=1e-5, rtol=0)
    assert GenerationConfig.from_pretrained(tmp_path / "out").eos_token_id == [1, 0]


@pytest.mark.parametrize("change", [with_template, with_template_behind_bytes, with_state])
@pytest.mark.parametrize("bos", [(), (BOS,)])
def test_the_tokenizer_makes_of_a_text_what_a_prompt_was_in_training(base_folder, tmp_path: Path, change, bos: tuple[str, ...]):
    """Six tokens; the base's makes eight of them, or four padded to nine."""
    base, out, text = base_folder(change), tmp_path / "out", "cab fa de"
    differences = exported(base, out, bos)
    plain = tiny_tokenizer().encode(text, add_special_tokens=False).ids
    tokenizer = AutoTokenizer.from_pretrained(out)
    assert len(plain) > 4
    assert tokenizer(text).input_ids == [32] * len(bos) + plain
    assert Tokenizer.from_file(str(out / "tokenizer.json")).encode(text).ids == tokenizer(text).input_ids
    assert [tokenizer.bos_token, tokenizer.eos_token, tokenizer.pad_token] == [BOS, EOS, PAD]
    assert any("`tokenizer.json`: makes" in line for line in differences)
    assert any("padding and truncation" in line for line in differences) is (change is with_state)


def test_the_chat_template_is_the_base_s(base_folder, tmp_path: Path):
    exported(base_folder(), tmp_path / "out")
    messages = [{"role": "user", "content": "cab"}]
    text = AutoTokenizer.from_pretrained(tmp_path / "out").apply_chat_template(messages, tokenize=False)
    assert text == "<user> cab "


def with_bos_alone(tokenizer: Tokenizer) -> None:
    tokenizer.post_processor = processors.TemplateProcessing(f"{BOS} $A", f"{BOS} $A $B", [(BOS, 32)])


def test_a_tokenizer_that_does_as_training_did_stays_as_it_is(base_folder, tmp_path: Path):
    base, out = base_folder(with_bos_alone), tmp_path / "out"
    write(base, {"tokenizer_config.json": {"tokenizer_class": "PreTrainedTokenizerFast", "eos_token": EOS}})
    assert exported(base, out, (BOS,)) == ['`config.json`: `dtype` is "float32".']
    for name in ("tokenizer.json", "tokenizer_config.json"):
        assert json.loads((out / name).read_text()) == json.loads((base / name).read_text())


def test_the_end_of_text_is_named_where_the_base_names_none(base_folder, tmp_path: Path):
    base, out = base_folder(), tmp_path / "out"
    (base / "tokenizer_config.json").unlink()
    differences = exported(base, out)
    assert '`tokenizer_config.json`: `eos_token` is "[EOS]".' in differences
    assert AutoTokenizer.from_pretrained(out).eos_token_id == 1


def test_of_nursery_its_model_s_files_alone_are_taken():
    assert files_of("nursery").keys() == {"config.json", "tokenizer.json", "README.md"}


@pytest.mark.parametrize(
    ("error", "missing"), [(RemoteEntryNotFoundError, True), (LocalEntryNotFoundError, False), (HfHubHTTPError, False)]
)
def test_a_hub_that_does_not_answer_is_no_missing_file(monkeypatch: pytest.MonkeyPatch, error: Any, missing: bool):
    def refuse(*_: Any) -> str:
        raise error.__new__(error)

    monkeypatch.setattr(huggingface_hub, "hf_hub_download", refuse)
    if missing:
        assert hub_file("owner/name", "LICENSE") is None
        return
    with pytest.raises(UserError, match="--base_model owner/name: the Hugging Face hub does not say whether it has LICENSE"):
        hub_file("owner/name", "LICENSE")
