"""What a folder or a hub's repository is that is no model, and how one gets a model out of it."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import huggingface_hub.constants
import pytest
from huggingface_hub import errors

from configs.errors import UserError
from models.loading import load_pretrained
from models.texts import load_texts
from tests.models.folders import error_of

OTHERS = {
    "adapter.json": "is the checkpoint of adapters, no model; uv run evaluate.py export --model_path {} --out NEW makes",
    "adapter_config.json": 'is an adapter of PEFT, no model; PeftModel.from_pretrained(BASE, "{}").merge_and_unload()',
    "config.yaml": "is a run, no model; uv run evaluate.py export --model_path {}/checkpoint-STEP --out NEW makes one of it",
}


@pytest.mark.parametrize(("file", "said"), OTHERS.items())
def test_a_folder_that_is_no_model_is_told_what_it_is(tmp_path: Path, file: str, said: str):
    (tmp_path / file).touch()
    assert said.format(tmp_path) in error_of(tmp_path)


def test_a_command_is_quoted_for_the_shell(tmp_path: Path):
    (tmp_path / "a run").mkdir()
    (tmp_path / "a run" / "config.yaml").touch()
    assert f"--model_path '{tmp_path}/a run'/checkpoint-STEP" in error_of(tmp_path / "a run")


@pytest.mark.parametrize("pickled", ["pytorch_model.bin", "pytorch_model.bin.index.json"])
def test_pickled_weights_alone_are_refused_with_the_line_that_converts_them(folder: Path, pickled: str):
    (folder / "model.safetensors").rename(folder / pickled)
    assert f'AutoModelForCausalLM.from_pretrained("{folder}").save_pretrained("NEW") writes model.safetensors' in error_of(folder)


def test_without_a_tokenizer_json_the_line_that_makes_one_is_said(folder: Path):
    (folder / "tokenizer.json").unlink()
    assert f'AutoTokenizer.from_pretrained("{folder}").save_pretrained("NEW") writes one' in error_of(folder)


# The hub


def answer(kind: type[errors.HfHubHTTPError]) -> errors.HfHubHTTPError:
    response: Any = SimpleNamespace(headers={}, request=None)
    return kind("403 Client Error.\n\nsomething long", response=response)


@pytest.mark.parametrize(("kind", "said"), [
    (errors.GatedRepoError, "it is gated: its page there says how to get access; then `hf auth login`"),
    (errors.RepositoryNotFoundError, "there is no such repository, or it is private: `hf auth login`"),
    (errors.HfHubHTTPError, "403 Client Error."),
])  # fmt: skip
def test_what_the_hub_refuses_is_said(monkeypatch: pytest.MonkeyPatch, kind: type[errors.HfHubHTTPError], said: str):
    def refuse(*_: object) -> str:
        raise answer(kind)

    monkeypatch.setattr("huggingface_hub.hf_hub_download", refuse)
    assert error_of("some/model") == (
        f"--model some/model: cannot be had from the Hugging Face hub ({said}); the embedded choice is --model nursery"
    )


def test_a_hub_model_lacks_what_the_hub_says_it_lacks(monkeypatch: pytest.MonkeyPatch):
    def absent(*_: object) -> str:
        raise answer(errors.RemoteEntryNotFoundError)

    monkeypatch.setattr("huggingface_hub.hf_hub_download", absent)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr("huggingface_hub.list_repo_files", lambda _: ["README.md"])
    assert error_of("some/model") == "--model some/model: has no config.json"
    monkeypatch.setattr("huggingface_hub.list_repo_files", lambda _: ["README.md", "adapter_config.json"])
    assert "is an adapter of PEFT, no model" in error_of("some/model")


def test_a_cache_that_cannot_be_written_names_the_variable_that_moves_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    inside = tmp_path / "hub" / "models--some--model"  # tests of models have their cache in tmp_path / "hub"

    def refuse(*_: object) -> str:
        raise PermissionError(13, "Permission denied", str(inside))

    monkeypatch.setattr("huggingface_hub.hf_hub_download", refuse)
    said = f"{inside} cannot be read and written; HF_HOME=FOLDER puts the cache of Hugging Face elsewhere"
    assert error_of("some/model") == f"--model some/model: {said}"


def test_so_does_one_of_prepared_datasets(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    """Whose library wraps what the system said."""

    def refuse(*_: object) -> None:
        try:
            raise NotADirectoryError(20, "Not a directory", str(tmp_path / "datasets" / "some___tales"))
        except OSError as error:
            raise ValueError("something long") from error

    monkeypatch.setattr("datasets.load_dataset", refuse)
    with pytest.raises(UserError) as refusal:
        next(load_texts("some/tales", "story")("train"))
    assert str(refusal.value).startswith(f"--dataset some/tales: {tmp_path / 'datasets' / 'some___tales'} cannot be")
    assert str(refusal.value).endswith("HF_HOME=FOLDER puts the cache of Hugging Face elsewhere")


@pytest.mark.parametrize(("offline", "why"), [(True, "HF_HUB_OFFLINE is set"), (False, "there is no connection")])
def test_a_hub_that_cannot_be_asked_is_told_from_one_that_is_not_to_be(monkeypatch: pytest.MonkeyPatch, offline: bool, why: str):
    def unanswered(*_: object) -> str:
        raise errors.LocalEntryNotFoundError("something long")

    monkeypatch.setattr("huggingface_hub.hf_hub_download", unanswered)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", offline)
    assert f"({why}, and the local cache has not got it)" in error_of("some/model")


def test_offline_a_cached_model_is_what_is_cached_of_it(folder: Path, tmp_path: Path):
    """Without generation_config.json, which the hub could be asked for only online."""
    cached = tmp_path / "hub" / "models--some--model"
    (cached / "snapshots").mkdir(parents=True)
    folder.rename(cached / "snapshots" / "0123")
    (cached / "refs").mkdir()
    (cached / "refs" / "main").write_text("0123")
    assert load_pretrained("some/model").source == "some/model"
    (cached / "snapshots" / "0123" / "model.safetensors").unlink()
    assert error_of("some/model").endswith(": has no model.safetensors in the local cache, which is all there is offline")
