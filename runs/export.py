"""A run's model for other programs: merged weights as transformers reads them, or adapters as PEFT reads them."""

import copy
import shutil
from pathlib import Path
from typing import Any

from safetensors.torch import save_file
from torch import Tensor

from configs.errors import UserError
from grpo.run import Run
from models.decoder import LanguageModel
from models.loading import save_pretrained
from records.folder import write_json
from routing.adapters import adapter_parameters, merge_adapters
from routing.modes import BASE, MODES


def check_out_is_free(out: Path) -> None:
    for path in (out, temporary_for(out)):
        if path.exists():
            raise UserError(f"--out {out}: {path} exists")


def temporary_for(out: Path) -> Path:
    return out.with_name(out.name + ".tmp")


def export_run(run: Run, mode: str | None, form: str, out: Path) -> None:
    """Writes the new folder `out`: `form` is hf or peft; without a mode, the policy as it was trained.

    Raises UserError for a mode that the run does not have and for a folder that exists; never leaves half of one.
    """
    check_out_is_free(out)
    kind = run.config.adapter_kind
    modes = [name for name in MODES[kind] if name != BASE]
    mode = mode or modes[0]
    if mode not in modes:
        raise UserError(f"--mode {mode}: accepted for a run of --adapter.kind {kind}: {', '.join(modes)}")
    if form == "peft" and kind == "none":
        raise UserError("--format peft: full fine-tuning has no adapters; use hf")
    temporary = temporary_for(out)
    try:
        temporary.mkdir(parents=True)
        if form == "hf":
            save_pretrained(merged(run, mode), run.tokenizer, temporary)
        else:
            write_peft(run, mode, temporary, base=out.absolute() / "base")
        temporary.rename(out)
    except OSError as error:
        raise UserError(f"--out {out}: cannot be written: {error.strerror}") from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def merged(run: Run, mode: str) -> LanguageModel:
    """A copy of the policy without adapters that computes what the policy does in a mode."""
    model = copy.deepcopy(run.policy).cpu()
    merge_adapters(model, MODES[run.config.adapter_kind][mode])
    return model


def write_peft(run: Run, mode: str, folder: Path, base: Path) -> None:
    """`base/`, the model before training, and one folder for each adapter that is on in the mode.

    The adapters refer to `base`, where that model will be in the end.
    """
    save_pretrained(merged(run, BASE), run.tokenizer, folder / "base")
    for name, scale in MODES[run.config.adapter_kind][mode].items():
        if scale:
            (folder / name).mkdir()
            save_file(peft_tensors(run, name), folder / name / "adapter_model.safetensors", metadata={"format": "pt"})
            write_json(folder / name / "adapter_config.json", peft_config(run, name, base))


def peft_tensors(run: Run, adapter: str) -> dict[str, Tensor]:
    """What is `LAYER.A.ADAPTER` here is `base_model.model.LAYER.lora_A.weight` there."""
    tensors: dict[str, Tensor] = {}
    for name, parameter in adapter_parameters(run.policy)[adapter].items():
        layer, matrix, _ = name.rsplit(".", 2)
        tensors[f"base_model.model.{layer}.lora_{matrix}.weight"] = parameter.detach().cpu().contiguous()
    return tensors


def peft_config(run: Run, adapter: str, base: Path) -> dict[str, Any]:
    spec = run.config.adapter
    assert spec is not None, "full fine-tuning is refused before"
    layers = range(0, run.policy.config.num_hidden_layers, spec.stride)
    return {
        "peft_type": "LORA",
        "task_type": "CAUSAL_LM",
        "base_model_name_or_path": str(base),
        "r": spec.ranks[adapter],
        "lora_alpha": spec.alpha,
        "target_modules": list(run.policy.targets),
        "layers_to_transform": list(layers) if spec.stride > 1 else None,
        "lora_dropout": 0.0,
        "bias": "none",
        "fan_in_fan_out": False,
        "inference_mode": True,
    }
