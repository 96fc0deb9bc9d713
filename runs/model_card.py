"""The README.md of an export: a model card that the hub reads, with settings and figures. Its text is model_card.md.j2."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from types import NoneType
from typing import Any

import yaml

from configs.naming import NOT_IDENTITY, config_hash, to_dict
from configs.resolved import ResolvedExperiment
from grpo.run import Learner
from models.hub import NURSERY
from records import files
from records.figures import cell
from records.reader import read_made_of
from records.rows import NUMBER, check_kinds, read_object, read_rows

FIGURES = ("samples", "reward", "reward_full", "hacked", "detected", "unique", "nll_base", "kl_to_base")
OF_THE_BASE = ("language", "license", "license_name", "license_link")  # what the base's front matter says of this model, too
MEANING = {
    "both": "both adapters on, the policy as it was trained",
    "retain_only": "the retain adapter on, the forget adapter cut out",
    "forget_only": "the forget adapter on, the retain adapter cut out",
    "policy": "the policy as it was trained",
}


def model_card(
    learner: Learner,
    checkpoint: Path,
    mode: str,
    form: str,
    adapters: Sequence[str],
    base_card: Path | None,
    differences: Sequence[str],
) -> str:
    """Of an export of a mode in a form, hf or peft, with these adapters; `differences` are lines of `save_like`."""
    import jinja2

    run_folder, config = checkpoint.absolute().parent, learner.config
    hub = hub_ids(config, run_folder)
    evaluated, figures = figures_at(checkpoint, learner.step)
    values = {
        "front_matter": front_matter(config, form, hub, base_card),
        "title": f"{base_name(config)}, {mode if form == 'hf' else 'adapters'} of {config_hash(config)}",
        "mode": mode, "form": form, "adapters": adapters, "meaning": MEANING,
        "folders": " and ".join(f"`{name}/`" for name in adapters),
        "checkpoint": checkpoint.absolute().name, "run": run_folder.name, "hash": config_hash(config), "step": learner.step,
        "max_steps": config.max_steps, "limit": config.sampling.max_completion_length, "temperature": config.sampling.temperature,
        "base": base_text(config, hub, learner.fingerprint),
        "named_base": f"`{hub['model']}`, the hub's" if "model" in hub else "empty: the base is this folder's, and nowhere else",
        "evaluated": evaluated, "figures": figures_table(figures), "settings": settings_text(config),
        "differences": [weights_text(learner, mode, form), *differences],
    }  # fmt: skip
    looks = {"undefined": jinja2.StrictUndefined, "trim_blocks": True, "lstrip_blocks": True, "keep_trailing_newline": True}
    templates = jinja2.Environment(loader=jinja2.FileSystemLoader(Path(__file__).parent), **looks)
    return templates.get_template("model_card.md.j2").render(values)


def front_matter(config: ResolvedExperiment, form: str, hub: Mapping[str, str], base_card: Path | None) -> str:
    from huggingface_hub import ModelCard, ModelCardData

    base = ModelCard.load(base_card, ignore_metadata_errors=True).data.to_dict() if base_card else {}
    kept: dict[str, Any] = {name: base[name] for name in OF_THE_BASE if name in base}
    if "model" in hub:
        kept["base_model_relation"] = "adapter" if form == "peft" else "finetune"
    data = ModelCardData(
        **kept,
        base_model=hub.get("model"),
        datasets=hub.get("dataset"),
        library_name="peft" if form == "peft" else "transformers",
        pipeline_tag="text-generation",
        tags=["small-rl", "grpo", *["gradient-routing"] * (config.treatment.name == "routed"), *["lora"] * (form == "peft")],
    )
    return data.to_yaml()


def hub_ids(config: ResolvedExperiment, run_folder: Path) -> dict[str, str]:
    """Of model and dataset, those that the run had from the hub."""
    folders = read_made_of(run_folder).get("paths", {})
    named = {"model": config.model, "dataset": config.dataset}
    return {setting: name for setting, name in named.items()
            if setting not in folders and name.count("/") == 1 and name[0] not in "./~" and not Path(name).is_dir()}  # fmt: skip


def base_name(config: ResolvedExperiment) -> str:
    return Path(config.model).name


def base_text(config: ResolvedExperiment, hub: Mapping[str, str], fingerprint: str) -> str:
    where = {NURSERY: "`nursery`, the model embedded in small-rl"}.get(config.model, f"a local folder, `{base_name(config)}`")
    if "model" in hub:
        where = f"[{hub['model']}](https://huggingface.co/{hub['model']})"
    return f"{where} (fingerprint of its weights `{fingerprint[:16]}`)"


def weights_text(learner: Learner, mode: str, form: str) -> str:
    whose = f"those of the mode `{mode}`" if form == "hf" else "`base/` has the base model's"
    dtype = learner.config.model_dtype
    rounded = "" if dtype == "float32" else f"; the matrices under the adapters were rounded to {dtype} before training"
    padding = learner.policy.config.padding_rows
    unsampled = f". Training never sampled the last {padding} rows of the embedding, which are no tokens" if padding else ""
    return f"Weights: {whose}, in float32{rounded}{unsampled}."


def figures_at(checkpoint: Path, step: int) -> tuple[str, dict[str, dict[str, Any]]]:
    """By mode, and what they are of: of the last `evaluate.py` on the checkpoint, or else of the run's evaluation at its step.

    Raises UserError for a damaged file.
    """
    if record := read_object(file := checkpoint / files.EVALUATION):
        check_kinds(str(file), record, {"modes": (dict,), "sampling": (dict,), "prompts": (dict, NoneType)})
        for mode, figures in record["modes"].items():
            check_kinds(f"{file}: {mode}", figures, dict.fromkeys(FIGURES, NUMBER))
        prompts = record.get("prompts") or {}
        other = (
            f", on the prompts of `{shown(prompts['dataset'])}`, not the run's own" if prompts.get("of_the_run") is False else ""
        )
        return f"By `evaluate.py`, sampling with {record['sampling']}{other}.", record["modes"]
    rows = read_rows(checkpoint.absolute().parent, files.ROUTING_EVAL)
    return "By the run's own evaluation at this step.", {row["mode"]: row for row in rows if row["step"] == step}


def figures_table(figures: Mapping[str, Mapping[str, Any]]) -> str:
    """Markdown; "" without figures."""
    if not figures:
        return ""
    names = [
        *FIGURES,
        *(name for name in next(iter(figures.values())) if name.startswith("rewards/") and "/interval" not in name),
    ]
    rows = [["mode", *names], ["---", *["---:"] * len(names)]]
    rows += [[f"`{mode}`", *(figure(row.get(name)) for name in names)] for mode, row in figures.items()]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def figure(value: Any) -> str:
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else cell(value)


def settings_text(config: ResolvedExperiment) -> str:
    """What of config.yaml makes it this experiment. Of a path on this machine, the last part."""
    settings = to_dict(config)
    for name in NOT_IDENTITY:
        group, _, key = name.rpartition(".")
        del (settings[group] if group else settings)[key]
    return yaml.safe_dump(shown({name: value for name, value in settings.items() if value != {}}), sort_keys=False).rstrip()


def shown(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: shown(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [shown(item) for item in value]
    return Path(value).name if isinstance(value, str) and Path(value).is_absolute() else value
