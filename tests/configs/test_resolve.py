"""What settings turn into, and every refusal with its words."""

from dataclasses import replace

import pytest

from configs.errors import UserError
from configs.experiment import AdapterSettings, Experiment, GRPOSettings, RoutingSettings, SamplingSettings
from configs.naming import spelt_out
from configs.resolve import changed, flatten, resolve
from configs.resolved import Treatment, as_settings
from routing.spec import AdapterSpec
from tests.configs.launching import OF_REWARD, from_words, resolved


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
        ("--adapter.kind lora", "lora", 1e-3),
        ("--adapter.kind dual_lora", "dual_lora", 1e-3),
        ("--routing.enabled", "dual_lora", 1e-3),
        ("--routing.enabled --adapter.kind dual_lora", "dual_lora", 1e-3),
        ("--routing.enabled --routing.mode none", "dual_lora", 1e-3),
        ("--lr 0.5", "none", 0.5),
        ("--lr 1e-5 --routing.enabled", "dual_lora", 1e-5),
        ("--lr 3e-4 --adapter.kind none", "none", 3e-4),
    ],
)
def test_adapter_kind_and_learning_rate_follow_from_what_is_asked(words: str, kind: str, lr: float):
    config = from_words(words)
    assert (config.adapter_kind, config.lr) == (kind, lr)


def test_routing_changes_only_the_adapter_the_learning_rate_and_the_rule():
    routed = {"routing.enabled": True, "adapter.kind": "dual_lora", "lr": 1e-3, "advantages": "good_only"}
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
