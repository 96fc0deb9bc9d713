"""A run's model for other programs: merged weights as transformers reads them, or adapters as PEFT reads them.

Beside the weights, an export has what came with the base model, and a card (runs/model_card.py).
"""

import copy
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from safetensors.torch import save_file
from torch import Tensor

from configs.errors import UserError
from envs.plugins import environments_of
from grpo.run import Learner
from models.decoder import LanguageModel
from models.saving import CARD, files_of, save_like
from models.tokenizer import own_bos
from records.folder import write_json
from routing.adapters import adapter_parameters, merge_adapters
from routing.modes import BASE, MODES
from runs.model_card import hub_ids, model_card
from runs.restore import load_learner


def check_out_is_free(out: Path) -> None:
    for path in (out, temporary_for(out)):
        if path.exists():
            raise UserError(f"--out {out}: {path} exists")


def temporary_for(out: Path) -> Path:
    return out.with_name(out.name + ".tmp")


def export_checkpoint(checkpoint: Path, mode: str | None, form: str, out: Path, base_model: str | None = None) -> None:
    """Writes the new folder `out`: `form` is hf or peft; without a mode, the policy as it was trained.

    Raises UserError for a mode that the run does not have, for a folder that exists and for what `load_learner` refuses;
    never leaves half of a folder.
    """
    check_out_is_free(out)
    learner = load_learner(checkpoint, "cpu", base_model=base_model)
    kind = learner.config.adapter_kind
    modes = [name for name in MODES[kind] if name != BASE]
    mode = mode or modes[0]
    if mode not in modes:
        raise UserError(f"--mode {mode}: accepted for a run of --adapter.kind {kind}: {', '.join(modes)}")
    if form == "peft" and kind == "none":
        raise UserError("--format peft: full fine-tuning has no adapters; use hf")
    base = files_of(learner.base_model)
    temporary = temporary_for(out)
    try:
        temporary.mkdir(parents=True)
        if form == "hf":
            differences = save_like(base, merged(learner, mode), bos_of_exports(learner), temporary)
        else:
            differences = write_peft(learner, mode, temporary, base, hub_ids(learner.config, checkpoint.absolute().parent))
        adapters = [name for name, scale in MODES[kind][mode].items() if scale]
        card = model_card(learner, checkpoint, mode, form, adapters, base.get(CARD), differences)
        (temporary / CARD).write_text(card, encoding="utf-8")
        temporary.rename(out)
    except OSError as error:
        raise UserError(f"--out {out}: cannot be written: {error.strerror}") from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def bos_of_exports(learner: Learner) -> list[str]:
    """The tokens before a text: those of the run's prompts, or the base's own where prompts are made by its chat template."""
    in_chat = environments_of(learner.config.plugins)[learner.config.env.name].in_chat
    return [learner.vocabulary[each] for each in (own_bos(learner.tokenizer) if in_chat else learner.prompting.bos_ids)]


def merged(learner: Learner, mode: str) -> LanguageModel:
    """A copy of the policy without adapters that computes what the policy does in a mode."""
    model = copy.deepcopy(learner.policy).cpu()
    merge_adapters(model, MODES[learner.config.adapter_kind][mode])
    return model


def write_peft(learner: Learner, mode: str, folder: Path, base: Mapping[str, Path], hub: Mapping[str, str]) -> list[str]:
    """`base/`, the model before training, and one folder for each adapter that is on in the mode.

    Where the base has no name that holds everywhere, the adapters name none: PEFT finds no path beside an adapter.
    """
    differences = save_like(base, merged(learner, BASE), bos_of_exports(learner), folder / "base")
    for name, scale in MODES[learner.config.adapter_kind][mode].items():
        if scale:
            (folder / name).mkdir()
            save_file(peft_tensors(learner, name), folder / name / "adapter_model.safetensors", metadata={"format": "pt"})
            write_json(folder / name / "adapter_config.json", peft_config(learner, name, hub.get("model")))
    return [line.replace("`", "`base/", 1) for line in differences]


def peft_tensors(learner: Learner, adapter: str) -> dict[str, Tensor]:
    """What is `LAYER.A.ADAPTER` here is `base_model.model.LAYER.lora_A.weight` there."""
    tensors: dict[str, Tensor] = {}
    for name, parameter in adapter_parameters(learner.policy)[adapter].items():
        layer, matrix, _ = name.rsplit(".", 2)
        tensors[f"base_model.model.{layer}.lora_{matrix}.weight"] = parameter.detach().cpu().contiguous()
    return tensors


def peft_config(learner: Learner, adapter: str, base: str | None) -> dict[str, Any]:
    spec = learner.config.adapter
    assert spec is not None, "full fine-tuning is refused before"
    layers = range(0, learner.policy.config.num_hidden_layers, spec.stride)
    return {
        "peft_type": "LORA",
        "task_type": "CAUSAL_LM",
        "base_model_name_or_path": base,
        "r": spec.ranks[adapter],
        "lora_alpha": spec.alpha,
        "target_modules": list(learner.policy.targets),
        "layers_to_transform": list(layers) if spec.stride > 1 else None,
        "lora_dropout": 0.0,
        "bias": "none",
        "fan_in_fan_out": False,
        "inference_mode": True,
    }
