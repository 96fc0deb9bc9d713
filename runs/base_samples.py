"""The base model's completions in evaluations: the same for all runs of a folder, so they are sampled once and kept beside them.

A file of `OUTPUT_DIR/.base_samples/` holds one rollout. Its name is the digest of all that the rollout's bits depend on: what
`sample` is given, the code that samples, and the machine's part in rounding. Rewards, detectors and figures are none of it:
each run works them out itself. So that a run's figures do not depend on who came first, it reads its own file back, too.

Runs that want a file at once wait for the one that makes it: on the same cores, all of them sampling would end later.
"""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from filelock import FileLock
from jaxtyping import Float
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from configs.errors import UserError
from envs.types import Prompt
from grpo.rollout import Rollout, concatenate
from grpo.run import Run, has_base
from records import files
from records.folder import write_whole
from records.names import BASE
from runs import evaluation
from runs.evaluation import evaluation_samples, evaluation_uniforms, sample_mode, training_samples
from runs.progress import Watch, unwatched
from runs.restore import of_the_machine

ROOT = Path(__file__).parents[1]
ENGINE = ("grpo", "models", "routing", "runs")


def code_digest(root: Path = ROOT) -> str:
    """Of the engine's source: any change of it may change the rounding, and nobody has to remember to say so."""
    sources = sorted(file for package in ENGINE for file in (root / package).glob("*.py"))
    return hashlib.sha256(b"\0".join(part for file in sources for part in (file.name.encode(), file.read_bytes()))).hexdigest()


CODE = code_digest()  # as it is when this process starts, whatever becomes of the files meanwhile


def base_samples(run: Run, count: int, watch: Watch = unwatched) -> dict[str, Rollout]:
    """The rollout of the base's first `count` evaluation samples, by its mode's name; {} where its weights are not at hand.

    Those of evaluations during training are one file, the further ones of the evaluation at the end another: the first step
    does not wait for the latter. Raises UserError for a damaged file.
    """
    if not has_base(run):
        return {}
    prompts, generations = evaluation_samples(run, count)
    uniforms, first = evaluation_uniforms(run.config, prompts, generations), min(training_samples(run), count)
    parts = [slice(0, first), slice(first, count)]
    rollouts = [kept_rollout(run, prompts[part], uniforms[part], watch) for part in parts if prompts[part]]
    return {BASE: concatenate(rollouts, run.policy.config.eos_token_ids[0])}


def kept_rollout(run: Run, prompts: list[Prompt], uniforms: Float[Tensor, "n t"], watch: Watch = unwatched) -> Rollout:
    watch(BASE, 0)  # which may wait for another run
    key = key_of(ingredients(run, prompts, uniforms))
    file = run.config.output_dir / files.BASE_SAMPLES / f"{key}.safetensors"
    if not file.exists():
        file.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(file.with_suffix(".lock")):
            if not file.exists():
                write_rollout(file, key, sample_mode(run, BASE, prompts, uniforms))
    watch(BASE, len(prompts))
    return read_rollout(file, key, run.device)


def ingredients(run: Run, prompts: Sequence[Prompt], uniforms: Float[Tensor, "n t"]) -> dict[str, Any]:
    """Everything that the bits of the base's rollout depend on. The kind of adapter is none of it: they are off."""
    return {
        "weights": run.fingerprint,
        "architecture": asdict(run.policy.config),
        "dtype": str(run.policy.head.dtype),
        "model_dtype": run.config.model_dtype,
        "prompts": [prompt.token_ids for prompt in prompts],
        "uniforms": hashlib.sha256(uniforms.numpy().tobytes()).hexdigest(),  # of eval.seed, prompts' and generations' numbers
        "sampling": asdict(run.config.sampling),
        "rows_at_once": evaluation.ROWS_AT_ONCE,
        "code": CODE,
        "instructions": torch.backends.cpu.get_cpu_capability(),
        **of_the_machine(run),
    }


def key_of(depended_on: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(depended_on, sort_keys=True).encode()).hexdigest()[:32]


def write_rollout(file: Path, key: str, rollout: Rollout) -> None:
    tensors = {name: tensor.cpu().contiguous() for name, tensor in vars(rollout).items()}
    metadata = {"key": key, "digest": digest_of(tensors)}
    write_whole(file, lambda temporary: save_file(tensors, temporary, metadata))


def read_rollout(file: Path, key: str, device: torch.device) -> Rollout:
    """Raises UserError unless it is what was written, to the last bit, under this key."""
    try:
        with safe_open(file, "pt") as stored:
            metadata, tensors = stored.metadata() or {}, {name: stored.get_tensor(name) for name in stored.keys()}  # noqa: SIM118
    except (OSError, SafetensorError) as error:
        raise UserError(damaged(file, str(error))) from error
    if metadata.get("key") != key:
        raise UserError(damaged(file, f"it holds the samples of {metadata.get('key')}"))
    if metadata.get("digest") != digest_of(tensors):
        raise UserError(damaged(file, "it is not as it was written"))
    return Rollout(**{name: tensor.to(device) for name, tensor in tensors.items()})


def damaged(file: Path, fault: str) -> str:
    return f"{file}: damaged: {' '.join(fault.split())}; without this file the base's completions are sampled anew"


def digest_of(tensors: dict[str, Tensor]) -> str:
    """Over names, dtypes, shapes and bytes."""
    digest = hashlib.sha256()
    for name, tensor in sorted(tensors.items()):
        digest.update(f"{name} {tensor.dtype} {[*tensor.shape]}".encode())
        digest.update(tensor.view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()
