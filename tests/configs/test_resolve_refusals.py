"""Settings that contradict one another, have no effect or are out of bounds are refused."""

import pytest

from configs.errors import UserError
from configs.naming import spelt_out
from tests.configs.launching import from_words

# Refusals

AT_LEAST_ONE = [
    "max_steps", "batch_size", "num_generations", "logging_steps", "save_steps", "eval_every", "adapter.rank",
    "adapter.retain_rank", "adapter.forget_rank", "adapter.stride", "env.prompt_length", "env.num_prompts",
    "env.num_eval_prompts", "sampling.max_completion_length", "grpo.num_iterations", "eval.num_prompts",
]  # fmt: skip
NOT_NEGATIVE = ["seed", "grpo.warmup_steps", "eval.final_samples"]
WHOLE = "training samples from the whole distribution"

REFUSED = [
    *((f"--{name} 0", f"--{name} 0: must be at least 1") for name in AT_LEAST_ONE),
    *((f"--{name} -3", f"--{name} -3: must be at least 1") for name in AT_LEAST_ONE),
    *((f"--{name} -1", f"--{name} -1: must be 0 or more") for name in NOT_NEGATIVE),
    *(
        (f"--{name} {value}", f"--{name} {float(value)}: must be a positive number")
        for name in ["lr", "adapter.alpha", "grpo.max_grad_norm", "reward_penalty"]
        for value in ["0", "-0.1", "inf", "nan"]
    ),
    ("--eval_split train", "--eval_split train: must be another split than that of the training prompts"),
    *(
        (f"--eval_split {value}", f"--eval_split {value}: must be the name of a split: a word")
        for value in ["../test", "test[:10%]", "te*", "a+b"]
    ),
    *((f"--beta {value}", f"--beta {float(value)}: must be 0 or more") for value in ["-0.01", "inf", "nan"]),
    *(
        (f"--grpo.epsilon_low {value}", f"--grpo.epsilon_low {float(value)}: must be between 0 and 1")
        for value in ["-0.1", "1.1", "nan"]
    ),
    *(
        (f"--grpo.epsilon_high {value}", f"--grpo.epsilon_high {float(value)}: must be 0 or more")
        for value in ["-0.1", "inf", "nan"]
    ),
    *(
        (f"--sampling.temperature {value}", f"--sampling.temperature {float(value)}: must be above 0: {WHOLE}")
        for value in ["0", "-1", "inf", "nan"]
    ),
    *(
        (f"--sampling.top_k {value}", f"--sampling.top_k {value}: must be 0: {WHOLE}; evaluate.py takes it")
        for value in [1, 50, -1]
    ),
    *(
        (f"--sampling.top_p {value}", f"--sampling.top_p {value}: must be 1: {WHOLE}; evaluate.py takes it")
        for value in [0.9, 0.0, 1.1, "nan"]
    ),
    ("--batch_size 1 --num_generations 1", "--num_generations 1: a group needs at least 2 completions"),
    ("--batch_size 33", "--batch_size 33: must be a multiple of --num_generations 16"),
    ("--batch_size 8", "--batch_size 8: must be a multiple of --num_generations 16"),
    ("--num_generations 3", "--batch_size 32: must be a multiple of --num_generations 3"),
    ("--max_steps 5 --grpo.warmup_steps 5", "--grpo.warmup_steps 5: must be below --max_steps 5"),
    ("--grpo.warmup_steps 2000", "--grpo.warmup_steps 2000: must be below --max_steps 2000"),
    ("--routing.mode exclusive", "--routing.mode exclusive: has no effect without --routing.enabled"),
    ("--routing.mode none", "--routing.mode none: has no effect without --routing.enabled"),
    *(
        (
            f"--routing.enabled --adapter.kind {kind}",
            f"--adapter.kind {kind}: routing needs dual_lora; leave --adapter.kind or --routing.enabled out",
        )
        for kind in ["none", "lora"]
    ),
    *(
        (f"--adapter.{name} 3", f"--adapter.{name} {value}: has no effect with --adapter.kind none")
        for name, value in [("rank", "3"), ("retain_rank", "3"), ("forget_rank", "3"), ("alpha", "3.0"), ("stride", "3")]
    ),
    *(
        (f"--adapter.kind lora --adapter.{name} 3", f"--adapter.{name} 3: has no effect with --adapter.kind lora")
        for name in ["retain_rank", "forget_rank"]
    ),
    ("--adapter.kind dual_lora --adapter.rank 3", "--adapter.rank 3: has no effect with --adapter.kind dual_lora"),
    ("--routing.enabled --adapter.rank 3", "--adapter.rank 3: has no effect with --adapter.kind dual_lora"),
    ("--adapter.preset r4", "--adapter.preset r4: has no effect with --adapter.kind none; use lora or dual_lora"),
    *(
        (
            f"--routing.enabled --adapter.{name} 3 --adapter.preset r8",
            f"--adapter.preset r8: contradicts --adapter.{name} {value}",
        )
        for name, value in [("retain_rank", "3"), ("forget_rank", "3"), ("alpha", "3.0"), ("stride", "3")]
    ),
    ("--adapter.kind lora --adapter.preset r8 --adapter.rank 3", "--adapter.preset r8: contradicts --adapter.rank 3"),
    ("--routing.enabled --adapter.preset r8 --adapter.retain_rank 4", "--adapter.preset r8: contradicts --adapter.retain_rank 4"),
    ("--adapter.kind lora --adapter.preset r8 --adapter.alpha 16", "--adapter.preset r8: contradicts --adapter.alpha 16.0"),
    ("--lora_rank 3 --adapter.rank 8", "--lora_rank 3: contradicts --adapter.rank 8"),
    (
        "--grpo.kl_estimator k1",
        "--grpo.kl_estimator k1: its expected gradient in the loss is zero; accepted are k2, k3, or k1 with --grpo.kl_corrected",
    ),
    *((f"--lora_rank {rank}", f"--lora_rank {rank}: must be at least 1") for rank in [0, -3]),
    ("--lora_rank 3 --adapter.rank 4", "--lora_rank 3: contradicts --adapter.rank 4"),
    ("--lora_rank 3 --adapter.preset r4", "--lora_rank 3: contradicts --adapter.preset r4"),
    *(
        (f"--lora_rank 3 --adapter.kind {kind}", f"--lora_rank 3: contradicts --adapter.kind {kind}")
        for kind in ["none", "dual_lora"]
    ),
    (
        "--lora_rank 3 --routing.enabled",
        "--adapter.kind lora: routing needs dual_lora; leave --adapter.kind or --routing.enabled out",
    ),
    *(
        (f"--{name} {value}", f"--{name} {float(value)}: must be between 0 and 1")
        for name in ["env.eligible_fraction", "labels.fraction", "labels.noise"]
        for value in ["-0.1", "1.1", "nan"]
    ),
    *(
        (
            f"--routing.enabled --routing.retain_rollouts {k}",
            f"--routing.retain_rollouts {k}: must be 0, or leave 2 of --num_generations 16 on either side: "
            "each side has a baseline of its own",
        )
        for k in [-2, 1, 15, 16]
    ),
    ("--routing.retain_rollouts 4", "--routing.retain_rollouts 4: has no effect without --routing.enabled"),
    ("--reward_penalty_on all", "--reward_penalty_on all: has no effect without --baseline reward_penalty"),
    ("--advantages group", "--advantages group: has no effect in full fine-tuning without --baseline; labels are for adapters"),
    (
        "--routing.enabled --routing.mode none --routing.retain_rollouts 4",
        "--routing.retain_rollouts 4: has no effect with --routing.mode none",
    ),
    ("--routing.enabled --baseline filter", "--baseline filter: contradicts --routing.enabled"),
    ("--reward_penalty 2", "--reward_penalty 2.0: has no effect without --baseline reward_penalty"),
    ("--baseline filter --reward_penalty 2", "--reward_penalty 2.0: has no effect without --baseline reward_penalty"),
    *(
        (
            f"--labels.{name} 0.5",
            f"--labels.{name} 0.5: has no effect in full fine-tuning without --baseline; labels are for adapters",
        )
        for name in ["fraction", "noise"]
    ),
    ("--grpo.epsilon_low 0.1", "--grpo.epsilon_low 0.1: has no effect with --grpo.num_iterations 1"),
    ("--grpo.epsilon_high 0.3", "--grpo.epsilon_high 0.3: has no effect with --grpo.num_iterations 1"),
    ("--beta 0 --grpo.kl_estimator k2", "--grpo.kl_estimator k2: has no effect with --beta 0"),
    ("--beta 0 --grpo.kl_corrected", "--grpo.kl_corrected True: has no effect with --beta 0"),
    ("--env.name repeat --env.prompt_length 9", "--env.prompt_length 9: has no effect with --env.name repeat"),
    (
        "--env.name repeat --eval_split dev",
        "--eval_split dev: has no effect with --env.name repeat, which holds words out itself",
    ),
    (
        "--env.name repeat --eval_split test",
        "--eval_split test: has no effect with --env.name repeat, which holds words out itself",
    ),
    # The same at their defaults: nobody writes an option that is to have no effect.
    ("--routing.mode classic", "--routing.mode classic: has no effect without --routing.enabled"),
    ("--routing.retain_rollouts 0", "--routing.retain_rollouts 0: has no effect without --routing.enabled"),
    *(
        (f"--adapter.{name} {value}", f"--adapter.{name} {value}: has no effect with --adapter.kind none")
        for name, value in [("rank", "8"), ("retain_rank", "4"), ("forget_rank", "4"), ("alpha", "16.0"), ("stride", "1")]
    ),
    ("--adapter.kind lora --adapter.retain_rank 4", "--adapter.retain_rank 4: has no effect with --adapter.kind lora"),
    ("--routing.enabled --adapter.rank 8", "--adapter.rank 8: has no effect with --adapter.kind dual_lora"),
    *(
        (
            f"--labels.{name} {value}",
            f"--labels.{name} {float(value)}: has no effect in full fine-tuning without --baseline; labels are for adapters",
        )
        for name, value in [("fraction", "1"), ("noise", "0")]
    ),
    ("--reward_penalty 1", "--reward_penalty 1.0: has no effect without --baseline reward_penalty"),
    ("--grpo.epsilon_low 0.2", "--grpo.epsilon_low 0.2: has no effect with --grpo.num_iterations 1"),
    ("--beta 0 --grpo.kl_estimator k3", "--grpo.kl_estimator k3: has no effect with --beta 0"),
    ("--env.name repeat --env.prompt_length 8", "--env.prompt_length 8: has no effect with --env.name repeat"),
]


def refusal_of(words: str) -> str:
    with pytest.raises(UserError) as caught:
        from_words(words)
    return str(caught.value)


def reason_of(message: str) -> str:
    return message.partition(": ")[2]


@pytest.mark.parametrize("reason", sorted({reason_of(message) for _, message in REFUSED}))
def test_refusals_name_the_option_the_value_and_what_is_accepted(reason: str):
    expected = {words: message for words, message in REFUSED if reason_of(message) == reason}
    assert {words: refusal_of(words) for words in expected} == expected


BOUNDS = [
    *(f"--{name} 1" for name in AT_LEAST_ONE if not name.startswith("adapter") and name not in ("batch_size", "num_generations")),
    *(f"--{name} 0" for name in NOT_NEGATIVE),
    "--adapter.kind lora --adapter.rank 1 --adapter.stride 5",
    "--routing.enabled --adapter.retain_rank 1 --adapter.forget_rank 64",
    "--batch_size 2 --num_generations 2",
    "--beta 0",
    "--grpo.num_iterations 2 --grpo.epsilon_low 0",
    "--grpo.num_iterations 2 --grpo.epsilon_low 1",
    "--grpo.num_iterations 2 --grpo.epsilon_high 0",
    "--env.eligible_fraction 0",
    "--env.eligible_fraction 1",
    "--routing.enabled --labels.fraction 0",
    "--routing.enabled --labels.noise 1",
    "--routing.enabled --routing.retain_rollouts 2",
    "--routing.enabled --routing.retain_rollouts 14",
    "--max_steps 6 --grpo.warmup_steps 5",
    "--sampling.temperature 0.01",
]


@pytest.mark.parametrize("words", BOUNDS)
def test_the_last_accepted_values_pass(words: str):
    name, value = words.split()[-2:]
    assert spelt_out(from_words(words))[name.removeprefix("--")] == float(value)
