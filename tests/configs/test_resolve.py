"""What settings turn into, and every refusal with its words."""

from dataclasses import replace

import pytest

from configs.cli import ExperimentOptions, parse_with_config
from configs.errors import UserError
from configs.experiment import AdapterSettings, Experiment, GRPOSettings, RoutingSettings, SamplingSettings
from configs.naming import spelt_out
from configs.resolve import OfReward, changed, flatten, refuse_inert, resolve
from configs.resolved import ResolvedExperiment, Treatment, as_settings
from routing.spec import AdapterSpec

OF_REWARD = OfReward(detector="happy_at_least(threshold=1)", penalty_on="all")


def resolved(asked: Experiment, cuda_available: bool = False) -> ResolvedExperiment:
    return resolve(asked, cuda_available, OF_REWARD)


def from_words(words: str, cuda_available: bool = False) -> ResolvedExperiment:
    """As launch.py does."""
    options, named = parse_with_config(ExperimentOptions, words.split(), "", "launch.py")
    refuse_inert(options.experiment, named)
    return resolved(options.experiment, cuda_available)


def differences(words: str) -> dict:
    """What these words change in the settings as they are recorded, beside what is always so."""
    usual = spelt_out(from_words(""))
    return {name: value for name, value in spelt_out(from_words(words)).items() if value != usual[name]}


# Defaults that depend on other settings


VALIDATED = {
    "reward": "happy_binary",
    "model": "nursery",
    "dataset": "nursery",
    "seed": 42,
    "max_steps": 2000,
    "batch_size": 32,
    "num_generations": 16,
    "lr": 1e-5,
    "beta": 0.02,
    "device": "cpu",
    "overwrite": False,
    "env.prompt_length": 8,
    "env.num_prompts": 10_000,
    "env.num_eval_prompts": 1000,
    "routing.enabled": False,
    "routing.mode": "classic",
    "adapter.kind": "none",
    "adapter.retain_rank": 4,
    "adapter.forget_rank": 4,
    "adapter.alpha": 16.0,
    "adapter.stride": 1,
    "sampling.temperature": 1.0,
    "sampling.max_completion_length": 128,
    "sampling.top_k": 0,
    "sampling.top_p": 1.0,
    "grpo.loss_type": "grpo",
    "grpo.scale_rewards": "group",
    "grpo.epsilon_low": 0.2,
    "grpo.epsilon_high": 0.2,
    "grpo.kl_estimator": "k3",
    "grpo.kl_corrected": False,
    "grpo.num_iterations": 1,
    "grpo.mask_truncated": False,
    "grpo.max_grad_norm": 1.0,
    "grpo.warmup_steps": 0,
    "wandb.mode": "offline",
}


def test_defaults_are_the_validated_settings():
    flat = spelt_out(from_words(""))
    assert {name: flat[name] for name in VALIDATED} == VALIDATED


@pytest.mark.parametrize(
    ("words", "kind", "lr"),
    [
        ("", "none", 1e-5),
        ("--adapter.kind none", "none", 1e-5),
        ("--adapter.kind lora", "lora", 3e-4),
        ("--adapter.kind dual_lora", "dual_lora", 3e-4),
        ("--routing.enabled", "dual_lora", 3e-4),
        ("--routing.enabled --adapter.kind dual_lora", "dual_lora", 3e-4),
        ("--routing.enabled --routing.mode none", "dual_lora", 3e-4),
        ("--lr 0.5", "none", 0.5),
        ("--lr 1e-5 --routing.enabled", "dual_lora", 1e-5),
        ("--lr 3e-4 --adapter.kind none", "none", 3e-4),
    ],
)
def test_adapter_kind_and_learning_rate_follow_from_what_is_asked(words: str, kind: str, lr: float):
    config = from_words(words)
    assert (config.adapter_kind, config.lr) == (kind, lr)


def test_routing_changes_only_the_adapter_the_learning_rate_and_the_rule():
    routed = {"routing.enabled": True, "adapter.kind": "dual_lora", "lr": 3e-4, "advantages": "good_only"}
    assert differences("--routing.enabled") == routed


@pytest.mark.parametrize("mode", ["classic", "exclusive"])
def test_routing_modes_are_kept(mode: str):
    assert from_words(f"--routing.enabled --routing.mode {mode}").treatment == Treatment("routed", mode)


@pytest.mark.parametrize(
    ("words", "treatment", "rule"),
    [
        ("", Treatment("unrouted", "none"), "group"),
        ("--adapter.kind dual_lora", Treatment("unrouted", "none"), "group"),
        ("--adapter.kind dual_lora --advantages good_only", Treatment("unrouted", "none"), "good_only"),
        ("--lora_rank 2 --advantages balanced", Treatment("unrouted", "none"), "balanced"),
        ("--routing.enabled --routing.mode none", Treatment("unrouted", "none"), "group"),
        ("--baseline filter", Treatment("filter", "filter"), "good_only"),
        ("--baseline filter --advantages group", Treatment("filter", "filter"), "group"),
        ("--baseline reward_penalty", Treatment("reward_penalty", "none", penalty=1.0, penalty_on="all"), "group"),
        (
            "--baseline reward_penalty --reward_penalty 2 --reward_penalty_on forget --advantages good_only",
            Treatment("reward_penalty", "none", penalty=2.0, penalty_on="forget"),
            "good_only",
        ),
        ("--routing.enabled --advantages group", Treatment("routed", "classic"), "group"),
        ("--routing.enabled --routing.retain_rollouts 4", Treatment("routed", "classic", retain_rollouts=4), "good_only"),
    ],
)
def test_what_is_done_about_bad_samples_and_the_rule(words: str, treatment: Treatment, rule: str):
    config = from_words(words)
    assert (config.treatment, config.advantages) == (treatment, rule)
    assert spelt_out(config)["advantages"] == rule  # what is recorded is what is used


def test_the_penalty_falls_on_what_the_reward_has():
    asked = Experiment(baseline="reward_penalty")
    for penalty_on in ("forget", "all"):
        assert resolve(asked, False, replace(OF_REWARD, penalty_on=penalty_on)).treatment.penalty_on == penalty_on


def test_lora_rank_is_short_for_a_single_adapter():
    assert from_words("--lora_rank 3") == from_words("--adapter.kind lora --adapter.rank 3")


def test_the_matched_control_has_one_form():
    assert from_words("--routing.enabled --routing.mode none") == from_words("--adapter.kind dual_lora")


@pytest.mark.parametrize(
    ("preset", "rank", "stride"),
    [("r1", 1, 1), ("r2", 2, 1), ("r4", 4, 1), ("r8", 8, 1), ("r16", 16, 1), ("r32", 32, 1), ("r1h", 1, 2)],
)
def test_presets_set_ranks_alpha_and_stride(preset: str, rank: int, stride: int):
    dual = from_words(f"--routing.enabled --adapter.preset {preset}").adapter
    assert dual == AdapterSpec("dual_lora", {"retain": rank, "forget": rank}, alpha=float(rank), stride=stride)
    single = from_words(f"--adapter.kind lora --adapter.preset {preset}").adapter
    assert single == AdapterSpec("lora", {"lora": rank}, alpha=float(rank), stride=stride)


def test_a_preset_is_the_same_experiment_as_its_settings():
    spelt_out = "--adapter.retain_rank 2 --adapter.forget_rank 2 --adapter.alpha 2"
    assert from_words("--routing.enabled --adapter.preset r2") == from_words(f"--routing.enabled {spelt_out}")


@pytest.mark.parametrize(
    ("asked", "cuda_available", "expected"),
    [
        ("auto", False, "cpu"),
        ("auto", True, "cuda"),
        ("cpu", False, "cpu"),
        ("cpu", True, "cpu"),
        ("cuda", True, "cuda"),
        ("cuda:1", True, "cuda:1"),
        ("cuda:12", True, "cuda:12"),
    ],
)
def test_device_is_resolved(asked: str, cuda_available: bool, expected: str):
    assert from_words(f"--device {asked}", cuda_available).device == expected


@pytest.mark.parametrize("device", ["cuda", "cuda:0"])
def test_cuda_must_be_there(device: str):
    with pytest.raises(UserError) as caught:
        from_words(f"--device {device}")
    assert str(caught.value) == f"--device {device}: no CUDA device is available here; use auto or cpu"


@pytest.mark.parametrize(
    "device", ["gpu", "cuda:", "cuda:x", "cuda:-1", "cuda:²", "cpu:0", "cpu:", "auto:", "auto:1", "", "CUDA", "cuda:1:2"]
)
@pytest.mark.parametrize("cuda_available", [True, False])
def test_devices_that_torch_would_not_take_are_refused(device: str, cuda_available: bool):
    with pytest.raises(UserError) as caught:
        resolved(Experiment(device=device), cuda_available)
    assert str(caught.value) == f"--device {device}: accepted are auto, cpu, cuda, cuda:NUMBER"


# What resolving keeps to

ACCEPTED = [
    "",
    "--routing.enabled",
    "--routing.enabled --routing.mode exclusive --adapter.retain_rank 2",
    "--routing.enabled --routing.mode none",
    "--routing.enabled --adapter.preset r1h",
    "--adapter.kind lora --adapter.preset r32",
    "--adapter.kind lora --adapter.rank 3 --adapter.alpha 1 --adapter.stride 2 --lr 1",
    "--beta 0 --device cpu --seed 0",
    "--grpo.kl_estimator k1 --grpo.kl_corrected",
    "--grpo.epsilon_low 0 --grpo.epsilon_high 5 --grpo.num_iterations 2",
    "--grpo.warmup_steps 1 --max_steps 2 --eval.final_samples 0",
    "--lora_rank 3",
    "--lora_rank 3 --adapter.kind lora --adapter.alpha 4",
    "--baseline filter --labels.fraction 0.5",
    "--baseline reward_penalty --reward_penalty 2 --lora_rank 8",
    "--routing.enabled --routing.retain_rollouts 4 --advantages balanced --labels.noise 0.1",
    "--batch_size 2 --num_generations 2",
]


@pytest.mark.parametrize("words", ACCEPTED)
@pytest.mark.parametrize("cuda_available", [True, False])
def test_resolving_twice_changes_nothing(words: str, cuda_available: bool):
    once = from_words(words, cuda_available)
    assert resolved(as_settings(once), cuda_available) == once


@pytest.mark.parametrize("words", ACCEPTED)
def test_nothing_is_left_open(words: str):
    config = from_words(words)
    left = {name for name, value in vars(config).items() if value is None} | {
        n for n, v in flatten(config.env).items() if v is None
    }
    assert left == {"threads"} | ({"adapter"} if config.adapter_kind == "none" else set())  # as PyTorch has them
    unset = {"adapter.preset", "lora_rank", "threads", "eval.relearn_hack_rate"}  # the last is of the run's own end
    assert {name for name, value in spelt_out(config).items() if value is None} == unset


def test_the_reward_s_detector_is_filled_in_unless_another_is_asked_for():
    assert from_words("").env.detector == OF_REWARD.detector
    assert from_words("--env.detector mine").env.detector == "mine"


def test_what_was_asked_is_not_changed_in_place():
    asked = Experiment(routing=RoutingSettings(enabled=True))
    resolved(asked)
    assert asked == Experiment(routing=RoutingSettings(enabled=True))


def test_whole_numbers_become_floats_where_floats_are_meant():
    adapter, grpo = AdapterSettings(kind="lora", alpha=4), GRPOSettings(max_grad_norm=2, epsilon_low=1, num_iterations=2)
    flat = spelt_out(resolved(Experiment(lr=1, beta=0, adapter=adapter, grpo=grpo)))
    names = ["lr", "beta", "adapter.alpha", "grpo.max_grad_norm", "grpo.epsilon_low"]
    assert [repr(flat[name]) for name in names] == ["1.0", "0.0", "4.0", "2.0", "1.0"]
    assert repr(flat["seed"]) == "42"


def test_changed_names_what_differs_from_the_defaults():
    assert changed(Experiment()) == set()
    assert changed(AdapterSettings(stride=2, kind="lora")) == {"kind", "stride"}
    assert changed(replace(Experiment(), sampling=SamplingSettings(top_k=3))) == {"sampling.top_k"}


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
