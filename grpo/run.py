"""A run: everything that changes while training, and what it is built from. All of it is reachable from `Run`."""

import copy
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial

import torch
from tokenizers import Tokenizer

from configs.errors import option_error
from configs.experiment import Experiment, GRPOSettings
from configs.resolved import ResolvedExperiment
from envs import prepare as preparation
from envs.chat import without_long_prompts
from envs.plugins import environments_of
from envs.types import BoundReward, Environment, Predicate, Prompt
from grpo.adamw import AdamW
from grpo.kept_prompts import kept_environment
from grpo.prompting import Prompting, prompting_of, with_bos
from grpo.randomness import generator, torch_generator
from models.decoder import LanguageModel
from models.loading import Pretrained, load_pretrained
from models.texts import load_texts
from models.tokenizer import bos_note
from routing.adapters import adapter_parameters, add_adapters, keep_bases_in, scaled
from routing.modes import BASE, MODES


@dataclass(kw_only=True)
class Learner:
    """What a checkpoint restores, without prompts and rewards: `policy`, `optimizer` and `step` change."""

    config: ResolvedExperiment
    policy: LanguageModel
    reference: LanguageModel | None  # the frozen copy of full fine-tuning; None with adapters, whose scales do it
    optimizer: AdamW
    tokenizer: Tokenizer
    vocabulary: list[str]  # token strings by id
    base_model: str  # where the base is read from: `config.model`, unless it has moved since
    fingerprint: str  # of the base weights
    prompting: Prompting
    step: int = 0
    notes: tuple[str, ...] = ()  # what a user should know of how it was built, said before the first step

    @property
    def device(self) -> torch.device:
        return self.policy.head.device


@dataclass(kw_only=True)
class Run(Learner):
    """A learner with what it learns from, which does not change."""

    environment: Environment
    reward: BoundReward
    detector: Predicate

    @property
    def group_size(self) -> int:
        return self.config.num_generations


def prepare(experiment: Experiment) -> ResolvedExperiment:
    """Resolved for this machine, as `envs.prepare.prepare`."""
    return preparation.prepare(experiment, torch.cuda.is_available())


def build_run(config: ResolvedExperiment) -> Run:
    """Loads and builds all of a run from resolved settings. Raises UserError for what does not fit; writes nothing."""
    reward, detector = preparation.bind_scores(config)
    pretrained = load_pretrained(config.model)
    learner = build_learner(config, pretrained)
    environment = build_environment(config, learner)
    needed = config.batch_size // config.num_generations
    if len(environment.train_prompts) < needed:
        raise option_error(f"--dataset {config.dataset}: {len(environment.train_prompts)} prompts; one step needs {needed}")
    run = Run(**vars(learner), environment=environment, reward=reward, detector=detector)
    run.notes += environment.notes
    return run


def build_learner(config: ResolvedExperiment, pretrained: Pretrained) -> Learner:
    """At step 0, around the base that `config.model` names; takes its weights for the policy's. Raises UserError."""
    keep_freed_memory()
    prompting = prompting_of(config, pretrained)
    policy, tokenizer, reference = pretrained.model, pretrained.tokenizer, None
    if config.adapter is not None:
        draws = torch_generator(config.seed, "adapters")
        add_adapters(policy, policy.layers, policy.targets, config.adapter, draws)
        if config.model_dtype != "float32":
            keep_bases_in(policy, getattr(torch, config.model_dtype))
    elif config.beta:
        reference = copy.deepcopy(policy).requires_grad_(False).to(config.device)
    policy.to(config.device)
    vocabulary = [str(tokenizer.id_to_token(i)) for i in range(policy.config.token_count)]
    notes = (*pretrained.notes, *bos_note(tokenizer, prompting.bos_ids))
    optimizer = build_optimizer(policy, config.grpo)
    return Learner(config=config, policy=policy, reference=reference, optimizer=optimizer, tokenizer=tokenizer,
                   vocabulary=vocabulary, base_model=config.model, fingerprint=pretrained.fingerprint, prompting=prompting,
                   notes=notes)  # fmt: skip


def keep_freed_memory() -> None:
    """Lets glibc keep up to 64 MB of freed memory rather than 128 kB: it keeps twice the largest block freed, which it counts
    up to 32 MB. Else each piece of an update is handed new pages by the system, which costs a tenth of the update's time.
    """
    torch.empty(2**25 - 2**16, dtype=torch.uint8)


def build_environment(config: ResolvedExperiment, learner: Learner) -> Environment:
    """The prompts, short enough for the model's context. Raises UserError."""
    entry, tokenizer = environments_of(config.plugins)[config.env.name], learner.tokenizer
    splits = {"train": "train", "eval": config.eval_split}
    limit, context = config.sampling.max_completion_length, learner.policy.config.max_position_embeddings
    texts = load_texts(config.dataset, config.text_column)
    try:
        build = partial(entry.build, lambda use: texts(splits[use]), learner.prompting.encode, tokenizer.decode,
                        unknown_id(tokenizer), config.env)  # fmt: skip
        environment = kept_environment(config, tokenizer, build)
        if entry.in_chat:
            environment = without_long_prompts(environment, context - limit)
    except ValueError as error:
        raise option_error(f"--dataset {config.dataset}: {error}") from error
    if not environment.eval_prompts:
        raise option_error(f"--dataset {config.dataset}: no evaluation prompt that is not a training prompt as well")
    environment = with_bos(environment, learner.prompting.bos_ids)
    longest = max(len(prompt.token_ids) for prompt in environment.train_prompts + environment.eval_prompts)
    if longest + limit > context:
        raise option_error(f"--sampling.max_completion_length {limit}: with prompts of up to {longest} tokens it exceeds "
                        f"the model's context of {context}")  # fmt: skip
    return environment


def unknown_id(tokenizer: Tokenizer) -> int | None:
    """The id of the unknown token, where the tokenizer's model has one."""
    name = getattr(tokenizer.model, "unk_token", None)
    return None if name is None else tokenizer.token_to_id(name)


def trained_groups(policy: LanguageModel) -> dict[str, dict[str, torch.nn.Parameter]]:
    """What is clipped and logged by itself: each adapter, or all weights together as `policy`."""
    return adapter_parameters(policy) or {"policy": dict(policy.named_parameters())}


def build_optimizer(policy: LanguageModel, config: GRPOSettings) -> AdamW:
    """A group for each adapter. Its learning rate is set before each step."""
    settings = {"lr": 0.0, "betas": (0.9, config.adam_beta2), "weight_decay": config.weight_decay}
    return AdamW([{"name": name, "params": list(group.values())} | settings for name, group in trained_groups(policy).items()])


def has_base(run: Learner) -> bool:
    """Whether the weights before training are at hand."""
    return run.config.adapter is not None or run.reference is not None


@contextmanager
def reference_model(run: Learner) -> Iterator[LanguageModel]:
    """The model before training: the policy with its adapters off, or the frozen copy."""
    if run.config.adapter is None:
        assert run.reference is not None, "full fine-tuning with beta 0 keeps no reference"
        yield run.reference
    else:
        with scaled(run.policy, MODES[run.config.adapter_kind][BASE]):
            yield run.policy


def step_prompts(run: Run, step: int) -> list[Prompt]:
    """The prompts of a step: successive ones of an order that each pass over them draws anew from the seed."""
    prompts, per_step = run.environment.train_prompts, run.config.batch_size // run.group_size
    passes, position = divmod(step, len(prompts) // per_step)  # of as many steps as the prompts fill
    order = generator(run.config.seed, "prompt order", passes).permutation(len(prompts))
    return [prompts[i] for i in order[position * per_step : (position + 1) * per_step]]


def per_completion(run: Run, prompts: Sequence[Prompt]) -> list[Prompt]:
    """Each group's prompt, once for each of its completions."""
    return [prompt for prompt in prompts for _ in range(run.group_size)]
