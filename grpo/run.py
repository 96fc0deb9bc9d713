"""A run: everything that changes while training, and what it is built from. All of it is reachable from `Run`."""

import copy
import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from tokenizers import Tokenizer

from configs.errors import UserError
from configs.experiment import Experiment
from configs.naming import config_hash
from envs import ENVIRONMENTS, binding
from envs.rewards import BoundReward
from envs.types import Environment, Predicate, Prompt
from grpo.randomness import generator, torch_generator
from models.llama import Llama
from models.loading import Pretrained, load_pretrained, load_texts
from routing.adapters import FORGET, LORA, RETAIN, AdapterSpec, adapter_parameters, add_adapters, scaled

# What an evaluation mode sets the scales of the adapters to; BASE is the model before training.
BASE = "base"
MODES: dict[str, dict[str, dict[str, float]]] = {
    "dual_lora": {
        "both": {RETAIN: 1.0, FORGET: 1.0},
        "retain_only": {RETAIN: 1.0, FORGET: 0.0},
        "forget_only": {RETAIN: 0.0, FORGET: 1.0},
        BASE: {RETAIN: 0.0, FORGET: 0.0},
    },
    "lora": {"policy": {LORA: 1.0}, BASE: {LORA: 0.0}},
    "none": {"policy": {}, BASE: {}},
}


@dataclass
class Run:
    """`policy`, `optimizer` and `step` change; the rest is what the run was built from."""

    config: Experiment  # resolved
    policy: Llama
    reference: Llama | None  # the frozen copy of full fine-tuning; None with adapters, whose scales do it
    optimizer: torch.optim.Optimizer
    tokenizer: Tokenizer
    vocabulary: list[str]  # token strings by id
    fingerprint: str  # of the base weights
    environment: Environment
    reward: BoundReward
    detector: Predicate
    step: int = 0

    @property
    def device(self) -> torch.device:
        return self.policy.head.device

    @property
    def group(self) -> int:
        return self.config.num_generations


def prepare(asked: Experiment) -> Experiment:
    """Resolved for this machine, as `envs.binding.prepare`."""
    return binding.prepare(asked, torch.cuda.is_available())


def build_run(config: Experiment) -> Run:
    """Loads and builds all of a run from resolved settings. Raises UserError for what does not fit; writes nothing."""
    reward, detector = binding.bind_scores(config)
    pretrained = load_pretrained(config.model)
    environment = build_environment(config, pretrained)
    check_lengths(config, environment, pretrained.model)
    policy = pretrained.model
    reference = None
    if config.adapter.kind == "none":
        reference = copy.deepcopy(policy).requires_grad_(False).to(config.device) if config.beta else None
    else:
        add_adapters(policy, policy.model.layers, adapter_spec(config), torch_generator(config.seed, "adapters"))
    policy.to(config.device)
    vocabulary = [str(pretrained.tokenizer.id_to_token(i)) for i in range(pretrained.tokenizer.get_vocab_size())]
    return Run(config, policy, reference, build_optimizer(policy), pretrained.tokenizer, vocabulary,
               pretrained.fingerprint, environment, reward, detector)  # fmt: skip


def build_environment(config: Experiment, pretrained: Pretrained) -> Environment:
    tokenizer = pretrained.tokenizer

    def encode(texts: list[str]) -> list[list[int]]:
        return [encoding.ids for encoding in tokenizer.encode_batch(texts, add_special_tokens=False)]

    texts = load_texts(config.dataset, config.text_column)
    try:
        environment = ENVIRONMENTS[config.env.name].build(texts, encode, tokenizer.decode, unknown_id(tokenizer), config.env)
    except ValueError as error:
        raise UserError(f"--dataset {config.dataset}: {error}") from error
    needed = config.batch_size // config.num_generations
    if len(environment.train_prompts) < needed:
        raise UserError(f"--dataset {config.dataset}: {len(environment.train_prompts)} prompts; one step needs {needed}")
    if not environment.eval_prompts:
        raise UserError(f"--dataset {config.dataset}: no evaluation prompt that is not a training prompt as well")
    return environment


def unknown_id(tokenizer: Tokenizer) -> int | None:
    """The id of the unknown token, where the tokenizer's model has one."""
    name = getattr(tokenizer.model, "unk_token", None)
    return None if name is None else tokenizer.token_to_id(name)


def check_lengths(config: Experiment, environment: Environment, model: Llama) -> None:
    longest = max(len(prompt.token_ids) for prompt in environment.train_prompts + environment.eval_prompts)
    limit, context = config.sampling.max_completion_length, model.config.max_position_embeddings
    if longest + limit > context:
        raise UserError(f"--sampling.max_completion_length {limit}: with prompts of up to {longest} tokens it exceeds "
                        f"the model's context of {context}")  # fmt: skip


def adapter_spec(config: Experiment) -> AdapterSpec:
    a = config.adapter
    assert a.rank and a.retain_rank and a.forget_rank and a.alpha and a.stride, "resolve() fills them in"
    if a.kind == "dual_lora":
        return AdapterSpec("dual_lora", {RETAIN: a.retain_rank, FORGET: a.forget_rank}, a.alpha, a.stride)
    return AdapterSpec("lora", {LORA: a.rank}, a.alpha, a.stride)


def trained_groups(policy: Llama) -> dict[str, dict[str, torch.nn.Parameter]]:
    """What is clipped and logged by itself: each adapter, or all weights together as `policy`."""
    return adapter_parameters(policy) or {"policy": dict(policy.named_parameters())}


def build_optimizer(policy: Llama) -> torch.optim.AdamW:
    groups = [{"params": list(group.values()), "name": name} for name, group in trained_groups(policy).items()]
    return torch.optim.AdamW(groups, lr=0.0, betas=(0.9, 0.999), weight_decay=0.0)


def has_base(run: Run) -> bool:
    """Whether the weights before training are at hand."""
    return run.config.adapter.kind != "none" or run.reference is not None


@contextmanager
def reference_model(run: Run) -> Iterator[Llama]:
    """The model before training: the policy with its adapters off, or the frozen copy."""
    if run.config.adapter.kind == "none":
        assert run.reference is not None, "full fine-tuning with beta 0 keeps no reference"
        yield run.reference
    else:
        with scaled(run.policy, MODES[str(run.config.adapter.kind)][BASE]):
            yield run.policy


def step_prompts(run: Run, step: int) -> list[Prompt]:
    """The prompts of a step: successive ones of an order that each pass over them draws anew from the seed."""
    prompts, per_step = run.environment.train_prompts, run.config.batch_size // run.group
    steps_a_pass = len(prompts) // per_step
    passes, position = divmod(step, steps_a_pass)
    order = generator(run.config.seed, "prompt order", passes).permutation(len(prompts))
    return [prompts[i] for i in order[position * per_step : (position + 1) * per_step]]


def made_of(run: Run) -> dict[str, Any]:
    """What the run's numbers depend on beside its settings."""
    environment = run.environment
    return {
        "config_hash": config_hash(run.config),
        "components": {component.name: component.role for component in run.reward.components},
        "base_fingerprint": run.fingerprint,
        "train_prompts": len(environment.train_prompts),
        "train_prompts_fingerprint": prompts_fingerprint(environment.train_prompts),
        "eval_prompts": len(environment.eval_prompts),
        "eval_prompts_fingerprint": prompts_fingerprint(environment.eval_prompts),
        "torch": torch.__version__,
        "device": torch.cuda.get_device_name(run.device) if run.device.type == "cuda" else "cpu",
        "threads": torch.get_num_threads(),
    }


def prompts_fingerprint(prompts: tuple[Prompt, ...]) -> str:
    """Digest of the prompts' ids: two runs with equal ones saw the same data."""
    return hashlib.sha256(repr([prompt.token_ids for prompt in prompts]).encode()).hexdigest()[:16]
