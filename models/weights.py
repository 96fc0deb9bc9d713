"""A model's tensors out of safetensors files, and whether they are those that its config.json describes."""

import hashlib
from collections.abc import Iterable, Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from models.files import INDEX, WEIGHTS, ModelFiles

DTYPES = (torch.float32, torch.bfloat16, torch.float16, torch.float64)
FEW = 3  # of the names that an error lists


def load_weights(files: ModelFiles) -> dict[str, Tensor]:
    """All tensors of `model.safetensors`, or of the shards that its index lists, as they are stored. Raises UserError."""
    weights: dict[str, Tensor] = {}
    for path in weight_files(files):
        try:
            weights |= load_file(path)
        except (OSError, ValueError, SafetensorError) as error:
            raise files.error(f"{path.name} cannot be read: {error}") from error
    for name, tensor in weights.items():
        if tensor.dtype not in DTYPES:
            accepted = ", ".join(map(dtype_name, DTYPES))
            raise files.error(f"{name} is stored as {dtype_name(tensor.dtype)}; accepted are weights as {accepted}")
    return weights


def weight_files(files: ModelFiles) -> list[Path]:
    if whole := files.find(WEIGHTS):
        return [whole]
    if files.find(INDEX) is None:
        return [files.need(WEIGHTS)]
    shards = files.read_json(INDEX).get("weight_map")
    if not isinstance(shards, dict) or not shards:
        raise files.error(f"{INDEX} cannot be read: it has no weight_map")
    paths = {shard: files.find(shard) for shard in sorted(set(shards.values()))}
    if absent := [shard for shard, path in paths.items() if path is None]:
        raise files.error(f"{INDEX} names {listed(absent)}, missing here")
    return [path for path in paths.values() if path is not None]


def dtypes_note(weights: Mapping[str, Tensor]) -> list[str]:
    others = sorted({dtype_name(tensor.dtype) for tensor in weights.values() if tensor.dtype != torch.float32})
    return [f"the model's weights are stored as {' and '.join(others)}; all is computed in float32"] if others else []


def dtype_name(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")


def are_equal(weights: Mapping[str, Tensor], one: str, other: str) -> bool:
    """Of two that are both there."""
    return one not in weights or other not in weights or torch.equal(weights[one], weights[other])


def misfits(expected: Mapping[str, Tensor], weights: Mapping[str, Tensor]) -> str:
    """Which tensors are missing, unexpected or of another shape; empty where they fit."""
    shapes = [
        f"{name} has the shape {list(weights[name].shape)}, not {list(tensor.shape)}"
        for name, tensor in expected.items()
        if name in weights and weights[name].shape != tensor.shape
    ]
    faults = {"missing": expected.keys() - weights.keys(), "unexpected": weights.keys() - expected.keys()}
    lines = [f"{what}: {listed(sorted(names))}" for what, names in faults.items() if names]
    return "; ".join([*lines, *([listed(shapes)] if shapes else [])])


def listed(names: Iterable[str]) -> str:
    first, *others = [*names][:FEW], *[*names][FEW:]
    return ", ".join(first) + (f" and {len(others)} more" if others else "")


def fingerprint(weights: Mapping[str, Tensor]) -> str:
    """SHA-256 over the names and bytes of the weights."""
    digest = hashlib.sha256()
    for key in sorted(weights):
        digest.update(key.encode())
        digest.update(weights[key].contiguous().numpy().tobytes())
    return digest.hexdigest()
