"""TRL's side of `bench.against_trl`: its GRPOTrainer in its fastest setting, and PEFT's adapters made equal to ours.

Everything that TRL can leave out is off: logging, reports, checkpoints, progress, gradient checkpointing, pinned
memory, the NaN filter. Tried on two cores: a static cache takes 8 % more processor time than one that grows; eager attention
and the plain AdamW are no faster than what is set here; continuous batching had not finished five steps after a minute.
"""

import contextlib
import sys
import time
from collections.abc import Callable
from typing import Any

import torch
from datasets import Dataset
from torch import Tensor
from transformers import AutoModelForCausalLM, AutoTokenizer, PrinterCallback, TrainerCallback
from transformers.utils.logging import disable_progress_bar

from bench.workloads import BETA, COMPLETION_LENGTH, GAIN, LEARNING_RATE, RANK, Workload, rewards_of
from grpo.rollout import Rollout
from models.decoder import LanguageModel
from models.llama import Llama
from routing.adapters import LoRALinear, adapted_layers


def build_trainer(workload: Workload, prompts: list[str], steps: int) -> Any:
    """A GRPOTrainer that goes through the prompts in their order, as many a step as the workload says."""
    from peft import LoraConfig
    from trl import GRPOConfig, GRPOTrainer  # pyright: ignore[reportMissingImports]

    disable_progress_bar()
    arguments = GRPOConfig(
        output_dir=str(workload.folder / "trl"), use_cpu=True, bf16=False, gradient_checkpointing=False, torch_compile=False,
        report_to=[], logging_strategy="no", save_strategy="no", disable_tqdm=True, logging_nan_inf_filter=False,
        dataloader_pin_memory=False, optim="adamw_torch_fused", max_steps=steps, learning_rate=LEARNING_RATE[workload.adapters],
        lr_scheduler_type="linear", max_grad_norm=1.0, per_device_train_batch_size=workload.device_batch,
        gradient_accumulation_steps=workload.batch_size // workload.device_batch, num_generations=workload.generations,
        max_completion_length=COMPLETION_LENGTH, shuffle_dataset=False, num_iterations=1, loss_type="grpo", beta=BETA,
        use_bias_correction_kl=False, scale_rewards="group", temperature=1.0, top_p=1.0, top_k=0,
        generation_kwargs={"use_cache": True},
    )  # fmt: skip
    targets = list(Llama.targets)
    lora = LoraConfig(r=RANK, lora_alpha=int(GAIN * RANK), lora_dropout=0.0, target_modules=targets, task_type="CAUSAL_LM")  # type: ignore[arg-type]
    trainer = GRPOTrainer(
        model=AutoModelForCausalLM.from_pretrained(workload.folder, dtype=torch.float32, attn_implementation="sdpa"),
        reward_funcs=lambda completions, **_: rewards_of(completions),
        args=arguments,
        train_dataset=Dataset.from_list([{"prompt": prompt} for prompt in prompts]),
        processing_class=AutoTokenizer.from_pretrained(workload.folder),
        peft_config=lora if workload.adapters else None,
    )
    trainer.remove_callback(PrinterCallback)
    return trainer


class BesideEachStep(TrainerCallback):
    """Does something before each of TRL's steps, and keeps the seconds of the steps themselves."""

    def __init__(self, before_step: Callable[[], object]):
        self.before_step, self.seconds, self.start = before_step, list[float](), 0.0

    def on_step_begin(self, *_: Any, **__: Any) -> None:
        self.before_step()
        self.start = time.perf_counter()

    def on_step_end(self, *_: Any, **__: Any) -> None:
        self.seconds.append(time.perf_counter() - self.start)


def train(trainer: Any, before_step: Callable[[], object] = lambda: None) -> tuple[list[float], list[int]]:
    """All steps of the trainer: seconds and sampled tokens of each, EOS counted."""
    beside = BesideEachStep(before_step)
    trainer.add_callback(beside)
    lengths = LengthsOfSteps(trainer)
    with contextlib.redirect_stdout(sys.stderr):
        trainer.train()
    return beside.seconds, lengths.tokens


class LengthsOfSteps:
    """Counts the sampled tokens of each step, outside of what is timed as little as a sum of 32 lengths."""

    def __init__(self, trainer: Any):
        self.tokens: list[int] = []
        generate = trainer._generate_single_turn

        def counted(*arguments: Any, **named: Any) -> Any:
            completions, logprobs = generate(*arguments, **named)
            self.tokens.append(sum(map(len, completions)))
            return completions, logprobs

        trainer._generate_single_turn = counted


def generate(trainer: Any, prompts: Tensor) -> Tensor:
    """Completion ids [n, t] of prompts [n, p], sampled as the trainer does."""
    with torch.no_grad():
        ids = trainer.model.generate(
            input_ids=prompts, attention_mask=torch.ones_like(prompts), generation_config=trainer.generation_config
        )
    return ids[:, prompts.shape[1] :]


@torch.no_grad()
def copy_adapters(policy: LanguageModel, model: Any) -> None:
    """Makes PEFT's one adapter of a layer the same function as all of ours: A's rows and B's columns side by side."""
    theirs = {name.removeprefix("base_model.model."): module for name, module in model.named_modules()}
    for name, layer in policy.named_modules():
        if isinstance(layer, LoRALinear):
            assert set(layer.gains.values()) == {theirs[name].scaling["default"]}, f"{name}: the gains differ"
            theirs[name].lora_A["default"].weight.copy_(torch.cat(list(layer.A.values())))
            theirs[name].lora_B["default"].weight.copy_(torch.cat(list(layer.B.values()), dim=1))


@torch.no_grad()
def draw_adapters(policy: LanguageModel, std: float, generator: torch.Generator) -> None:
    """Draws the B of every adapter, so that the policy is another function than its base; with std 0 it is the base's."""
    for layer in adapted_layers(policy):
        for b in layer.B.values():
            b.copy_(torch.randn(b.shape, generator=generator) * std)


def trl_inputs(rollout: Rollout, advantages: Tensor, old_logprobs: Tensor, ref_logprobs: Tensor) -> dict[str, Tensor]:
    """Our rollout as TRL's trainer hands it to its loss; prompts are of one length."""
    (length,) = set(rollout.prompt_lengths.tolist())
    return {
        "prompt_ids": rollout.ids[:, :length],
        "prompt_mask": torch.ones_like(rollout.ids[:, :length]),
        "completion_ids": rollout.completion_ids,
        "completion_mask": rollout.mask.long(),
        "advantages": advantages,
        "old_per_token_logps": old_logprobs,
        "ref_per_token_logps": ref_logprobs,
        "num_items_in_batch": rollout.mask.sum(),
    }


def trl_loss(trainer: Any, inputs: dict[str, Tensor]) -> tuple[float, float]:
    """TRL's loss of a batch, and the norm of its gradient. In eval mode, where it is not divided among device batches."""
    trainer.model.eval()
    trainer.model.zero_grad()
    loss = trainer.compute_loss(trainer.model, inputs)
    loss.backward()
    norm = torch.nn.utils.get_total_norm([p.grad for p in trainer.model.parameters() if p.grad is not None])
    trainer.model.zero_grad()
    trainer.model.train()
    return loss.item(), float(norm)
