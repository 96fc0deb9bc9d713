"""Training with GRPO and gradient routing as plainly as it can be written, to compare `grpo` and `routing` with.

One sample and one token at a time, in float64. Each sample's part of the one loss is differentiated by itself, and the
gradient handed to the adapters that learn from that sample. Taken from the engine: the uniforms of each sample's key, the
resolved settings, and what a run is built from (first weights, tokenizer, prompts, reward functions, detector).
"""

import math
from dataclasses import dataclass, field

import torch
from torch import Tensor

from configs.resolved import ResolvedExperiment
from envs.types import Completion, Prompt
from grpo.randomness import SampleKeys, generator
from grpo.run import Run
from models.llama_config import LlamaConfig
from tests.reference.advantages import advantages_of
from tests.reference.llama import Scales, Weights, logits
from tests.reference.loss import denominator, kl_estimate, sample_loss


@dataclass(frozen=True)
class Sample:
    """A completion and what is decided about it before any learning."""

    prompt: Prompt
    retain_rollout: bool  # sampled and trained with the forget adapter off
    tokens: list[int]  # EOS included
    logprobs: list[float]  # of the policy that sampled
    finished: bool
    eligible: bool
    retain_part: float  # of the reward, before the cap
    forget_part: float
    detected: bool
    labelled: bool
    earned: float  # after the cap
    reward: float  # and the penalty


@dataclass
class Model:
    """What training changes."""

    weights: Weights
    first: Weights  # as they were
    learners: dict[str, list[str]]  # names of trained weights, by adapter; all of them as `policy` without adapters
    moments: dict[str, tuple[Tensor, Tensor]] = field(default_factory=dict)
    steps: dict[str, int] = field(default_factory=dict)  # optimizer steps of each weight
    step: int = 0


@dataclass
class Trace:
    """What a step did, for the tests."""

    samples: list[Sample]
    advantages: list[float]
    kl: float | None  # of the policy that sampled to the reference, nats a token
    norms: list[dict[str, float]] = field(default_factory=list)  # by iteration and adapter that learnt, before clipping
    ratios: list[tuple[float, float]] = field(default_factory=list)  # and advantages, of every token in the loss


def rule_of(config: ResolvedExperiment) -> str:
    return config.advantages


def penalty_on(config: ResolvedExperiment) -> str:
    return config.treatment.penalty_on


def plain_name(name: str) -> str:
    """Of a weight that an adapter stands beside: its name without one."""
    return name.replace(".base.weight", ".weight")


def model_of(run: Run) -> Model:
    """A copy of a run's weights, which are float64."""
    assert run.policy.config.tie_word_embeddings, "the plain decoder has no head of its own"
    weights, learners = {}, {}
    for name, parameter in run.policy.named_parameters():
        plain = plain_name(name)
        weights[plain] = parameter.detach().clone().requires_grad_(parameter.requires_grad)
        adapter = name.rpartition(".")[2] if ".A." in name or ".B." in name else "policy"
        if parameter.requires_grad:
            learners.setdefault(adapter, []).append(plain)
    assert {name.rpartition(".A.")[0] for name in weights if ".A." in name} == adapted_layers(run), "adapters elsewhere"
    return Model(weights, {name: weight.detach().clone() for name, weight in weights.items()}, learners)


def adapted_layers(run: Run) -> set[str]:
    """All linear layers of every `stride`-th layer of the decoder."""
    adapter = run.config.adapter
    linears = [f"self_attn.{x}_proj" for x in "qkvo"] + [f"mlp.{x}_proj" for x in ("gate", "up", "down")]
    layers = range(0, run.policy.config.num_hidden_layers, adapter.stride) if adapter else ()
    return {f"model.layers.{i}.{linear}" for i in layers for linear in linears}


def train_step(run: Run, model: Model) -> Trace:
    """Advances `model`; of `run` nothing changes, and its weights are not looked at."""
    config = run.config
    samples = [
        draw(run, model, prompt, generation)
        for prompt in prompts_of(run, model.step)
        for generation in range(config.num_generations)
    ]
    references = [reference_logprobs(run, model, sample) for sample in samples]
    trace = Trace(samples, advantages_of(samples, config, rule_of(config)), mean_kl(samples, references, config))
    for _ in range(config.grpo.num_iterations):
        gradients = routed_gradients(run, model, trace, references)
        trace.norms.append({name: norm_of(gradient) for name, gradient in gradients.items()})
        for name, gradient in gradients.items():
            # torch's convention: 1e-6 is added to the norm
            shrink = min(1.0, config.grpo.max_grad_norm / (trace.norms[-1][name] + 1e-6))
            adamw(model, {key: grad * shrink for key, grad in gradient.items()}, learning_rate(config, model.step), config)
    model.step += 1
    return trace


# Sampling and scoring


def prompts_of(run: Run, step: int) -> list[Prompt]:
    """Prompts in an order drawn anew for each pass over them."""
    prompts, per_step = run.environment.train_prompts, run.config.batch_size // run.config.num_generations
    steps_per_pass = len(prompts) // per_step
    order = generator(run.config.seed, "prompt order", step // steps_per_pass).permutation(len(prompts)).tolist()
    start = step % steps_per_pass * per_step
    return [prompts[i] for i in order[start : start + per_step]]


def scales_of(config: ResolvedExperiment, retain_rollout: bool) -> Scales:
    if config.adapter is None:
        return {}
    scales = {name: config.adapter.alpha / rank for name, rank in config.adapter.ranks.items()}
    return {"retain": scales["retain"]} if retain_rollout else scales


def draw(run: Run, model: Model, prompt: Prompt, generation: int) -> Sample:
    config = run.config
    keys = SampleKeys(config.seed, model.step, [prompt.index], [generation])
    retain_rollout = generation >= config.num_generations - config.treatment.retain_rollouts
    uniforms = keys.uniforms("training sample", config.sampling.max_completion_length)[0].tolist()
    scales = scales_of(config, retain_rollout)
    tokens, logprobs = sample_tokens(run.policy.config, model.weights, scales, prompt, uniforms, config.sampling.temperature)
    finished = tokens[-1] in run.policy.config.eos_token_ids
    completion = completion_of(run, prompt, tokens[:-1] if finished else tokens, finished)
    eligible = keys.uniforms("eligibility").item() < config.env.eligible_fraction
    values = [(part.role, part.scale * part.function([completion])[0]) for part in run.reward.components]
    retain_part = sum(value for role, value in values if role == "retain")
    forget_part = sum(value for role, value in values if role == "forget")
    detected = run.detector([completion])[0]
    if detected:
        labelled = keys.uniforms("labels").item() < config.labels.fraction
    else:
        labelled = keys.uniforms("label noise").item() < config.labels.noise
    earned, reward = (reward_of(run, retain_part, forget_part if eligible else 0.0, bad) for bad in (False, labelled))
    return Sample(
        prompt, retain_rollout, tokens, logprobs, finished, eligible, retain_part, forget_part, detected, labelled, earned, reward
    )


@torch.no_grad()
def sample_tokens(
    c: LlamaConfig, weights: Weights, scales: Scales, prompt: Prompt, uniforms: list[float], temperature: float
) -> tuple[list[int], list[float]]:
    """The token at which the running sum of probabilities passes the uniform; the whole prefix is read again for each."""
    tokens: list[int] = []
    logprobs: list[float] = []
    for uniform in uniforms:
        read = [*prompt.token_ids, *tokens]
        distribution = (logits(c, weights, scales, read, len(read) - 1)[0] / temperature).log_softmax(0)
        passed, token = 0.0, 0
        for token, probability in enumerate(distribution.exp().tolist()):  # noqa: B007
            passed += probability
            if passed > uniform:
                break
        tokens.append(token)
        logprobs.append(distribution[token].item())
        if token in c.eos_token_ids:
            break
    return tokens, logprobs


def completion_of(run: Run, prompt: Prompt, tokens: list[int], finished: bool) -> Completion:
    text = run.tokenizer.decode(tokens, skip_special_tokens=False)
    return Completion(text, tuple(tokens), tuple(str(run.tokenizer.id_to_token(i)) for i in tokens), prompt, finished)


def reward_of(run: Run, retain_part: float, forget_part: float, labelled: bool) -> float:
    cap = float("inf") if run.reward.cap is None else run.reward.cap
    penalty = run.config.treatment.penalty if labelled else 0.0
    if penalty and penalty_on(run.config) == "forget":
        return min(cap, retain_part + max(0.0, forget_part - penalty))
    reward = min(cap, retain_part + forget_part)
    return max(0.0, reward - penalty) if penalty else reward


# Learning


def token_logprobs(run: Run, weights: Weights, scales: Scales, sample: Sample) -> list[Tensor]:
    prompt = sample.prompt.token_ids
    predicting = logits(run.policy.config, weights, scales, [*prompt, *sample.tokens[:-1]], len(prompt) - 1)  # [t, vocab]
    distributions = (predicting / run.config.sampling.temperature).log_softmax(1)
    return list(distributions[range(len(sample.tokens)), sample.tokens])


@torch.no_grad()
def reference_logprobs(run: Run, model: Model, sample: Sample) -> list[float] | None:
    """Under the weights before training, without adapters."""
    return [x.item() for x in token_logprobs(run, model.first, {}, sample)] if run.config.beta else None


def mean_kl(samples: list[Sample], references: list[list[float] | None], config: ResolvedExperiment) -> float | None:
    """Over all sampled tokens, whether their samples are in the loss or not."""
    pairs: list[tuple[float, float]] = []
    for sample, known in zip(samples, references, strict=True):
        pairs += [] if known is None else zip(sample.logprobs, known, strict=True)
    estimates = [kl_estimate(policy - reference, config.grpo.kl_estimator) for policy, reference in pairs]
    return sum(estimates) / len(estimates) if estimates else None


def learners_of(mode: str, sample: Sample, adapters: set[str]) -> set[str]:
    """Which adapters learn from a sample."""
    if sample.retain_rollout:
        return set() if sample.labelled else {"retain"}
    if mode == "classic":
        return {"forget"} if sample.labelled else {"retain", "forget"}
    if mode == "exclusive":
        return {"forget"} if sample.labelled else {"retain"}
    if mode == "filter":
        return set() if sample.labelled else adapters
    assert mode == "none", mode
    return adapters


def routed_gradients(run: Run, model: Model, trace: Trace, references: list[list[float] | None]) -> dict[str, Weights]:
    """{adapter: {weight: gradient}} of the adapters that learn from at least one sample."""
    config = run.config
    gradients: dict[str, Weights] = {}
    whole = denominator(trace.samples, config)
    for sample, advantage, reference in zip(trace.samples, trace.advantages, references, strict=True):
        learners = sorted(learners_of(config.treatment.mode, sample, set(model.learners)))
        if not learners or (config.grpo.mask_truncated and not sample.finished):
            continue
        logprobs = token_logprobs(run, model.weights, scales_of(config, sample.retain_rollout), sample)
        trace.ratios += [((new - old).exp().item(), advantage) for new, old in zip(logprobs, sample.logprobs, strict=True)]
        loss = sample_loss(logprobs, sample.logprobs, reference, advantage, whole, config)
        names = [name for learner in learners for name in model.learners[learner]]
        grads = dict(zip(names, torch.autograd.grad(loss, [model.weights[name] for name in names]), strict=True))
        for learner in learners:
            summed = gradients.setdefault(learner, {name: torch.zeros_like(grads[name]) for name in model.learners[learner]})
            for name in summed:
                summed[name] += grads[name]
    return gradients


def norm_of(gradient: Weights) -> float:
    return sum(grad.pow(2).sum().item() for grad in gradient.values()) ** 0.5


def learning_rate(config: ResolvedExperiment, step: int) -> float:
    """Up a straight line over the warm-up; then down one that reaches 0 after the last step, or down half a cosine that does,
    or not down at all.
    """
    warmup = config.grpo.warmup_steps
    if step < warmup:
        return config.lr * (step + 1) / (warmup + 1)
    left = (config.max_steps - step) / (config.max_steps - warmup)
    return config.lr * {"linear": left, "cosine": math.sin(math.pi / 2 * left) ** 2, "constant": 1.0}[config.grpo.lr_schedule]


def adamw(model: Model, gradient: Weights, rate: float, config: ResolvedExperiment) -> None:
    """Loshchilov and Hutter (arXiv:1711.05101), algorithm 2; as in torch, what decays is a share of rate times decay."""
    beta2, decay = config.grpo.adam_beta2, config.grpo.weight_decay
    for name, grad in gradient.items():
        average, square = model.moments.get(name, (torch.zeros_like(grad), torch.zeros_like(grad)))
        average, square = 0.9 * average + 0.1 * grad, beta2 * square + (1 - beta2) * grad * grad
        model.moments[name], model.steps[name] = (average, square), model.steps.get(name, 0) + 1
        mean, variance = average / (1 - 0.9 ** model.steps[name]), square / (1 - beta2 ** model.steps[name])
        weight = model.weights[name].detach()
        moved = weight - rate * (mean / (variance.sqrt() + 1e-8) + decay * weight)
        model.weights[name] = moved.requires_grad_()
