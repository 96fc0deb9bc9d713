"""A run's name and hash: what they see, what they leave out, and that no two experiments share a folder."""

import itertools
import subprocess
import sys
from dataclasses import fields, is_dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from configs.experiment import (
    AdapterSettings,
    EnvironmentSettings,
    EvaluationSettings,
    Experiment,
    GRPOSettings,
    LabelSettings,
    RoutingSettings,
    SamplingSettings,
    WandbSettings,
)
from configs.naming import (
    LONGEST_NAME,
    config_hash,
    reward_name,
    run_name,
    scientific,
    settings_hash,
    settings_name,
    spelt_out,
    to_dict,
    word,
)
from configs.resolve import OfReward, flatten, resolve
from configs.resolved import ResolvedExperiment

ROOT = Path(__file__).parents[2]
DETECTOR = "happy_at_least(threshold=3)"
ROUTED = RoutingSettings(enabled=True)
OWN = EvaluationSettings(seed="run")


def resolved(asked: Experiment) -> ResolvedExperiment:
    return resolve(asked, cuda_available=True, of_reward=OfReward(DETECTOR, "forget"))


def name_of(**asked: Any) -> str:
    return run_name(resolved(Experiment(**asked)), DETECTOR)


def another(value: Any) -> Any:
    """Close to the value, of its kind, and not it."""
    match value:
        case bool():
            return not value
        case int():
            return value + 1
        case float():
            return value * (1 + 1e-12) or 1e-12
        case None:
            return "something"
        case Path():
            return value / "below"
    return f"{value}x"


# The hash

UNSEEN = {
    "name", "tags", "notes", "require_eos", "threads", "output_dir", "overwrite", "wandb.mode", "wandb.project", "wandb.group",
}  # fmt: skip


@pytest.mark.parametrize("base", [Experiment(), Experiment(routing=ROUTED, beta=0.1), Experiment(reward={"name": "x"})])
def test_the_hash_sees_every_setting_but_where_and_how_a_run_is_kept(base: Experiment):
    before = spelt_out(resolved(base))
    after = {name: before | {name: another(value)} for name, value in before.items()}
    assert before not in after.values()
    assert {name for name in after if settings_hash(after[name]) == settings_hash(before)} == UNSEEN


def test_settings_the_hash_ignores_exist():
    assert set(flatten(Experiment())) > UNSEEN


def test_the_hash_sees_of_a_device_its_kind():
    hashes = {device: config_hash(resolved(Experiment(device=device))) for device in ["cpu", "cuda", "cuda:0", "cuda:3"]}
    assert hashes["cuda"] == hashes["cuda:0"] == hashes["cuda:3"] != hashes["cpu"]


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (Experiment(), Experiment(lr=1e-5, adapter=AdapterSettings(kind="none"), device="cuda")),
        (Experiment(routing=ROUTED), Experiment(routing=ROUTED, lr=1e-3, adapter=AdapterSettings(kind="dual_lora"))),
        (Experiment(routing=RoutingSettings(True, "none")), Experiment(adapter=AdapterSettings(kind="dual_lora"))),
        (Experiment(beta=0, lr=1), Experiment(beta=0.0, lr=1.0)),
        (Experiment(reward={"name": "x", "p": {"a": 1, "b": 2}}), Experiment(reward={"p": {"b": 2, "a": 1}, "name": "x"})),
    ],
)  # fmt: skip
def test_equal_experiments_have_equal_hashes_and_names(one: Experiment, other: Experiment):
    assert resolved(one) == resolved(other)
    assert config_hash(resolved(one)) == config_hash(resolved(other))
    assert run_name(resolved(one), DETECTOR) == run_name(resolved(other), DETECTOR)


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        (Experiment(eval=OWN), "0a5358918ec9"),
        (Experiment(eval=OWN, lr=3e-4, routing=ROUTED), "e4cb486b997d"),
        (
            Experiment(
                eval=OWN,
                lr=3e-4,
                adapter=AdapterSettings(kind="lora"),
                env=EnvironmentSettings(detector="happy_at_least(threshold=1)"),
            ),
            "35e088a00590",
        ),
        (
            Experiment(
                eval=OWN,
                lr=3e-4,
                routing=ROUTED,
                reward={"components": [{"name": "a", "role": "retain"}], "hack": "happy_at_least"},
            ),
            "e1458df10a53",
        ),
    ],
)
def test_the_hash_is_that_of_the_first_version(asked: Experiment, expected: str):
    """Runs recorded with spellings of then (rule retain_only, detector happy_count) are the same experiments, at the rate
    of then, evaluated with draws of their own."""
    assert config_hash(resolve(asked, cuda_available=False, of_reward=OfReward(DETECTOR, "forget"))) == expected


def test_the_hash_is_the_same_in_every_process():
    """Unlike Python's own `hash` of texts, and the order of its sets."""
    code = "from tests.configs.test_naming import *; print(config_hash(resolved(Experiment(reward={'b': 1, 'a': 2}))))"
    env = {"PYTHONHASHSEED": "7", "PYTHONPATH": "."}
    printed = subprocess.run([sys.executable, "-c", code], env=env, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert printed == config_hash(resolved(Experiment(reward={"a": 2, "b": 1}))) + "\n"


# The name


def test_the_name_of_the_main_job():
    assert name_of(routing=ROUTED) == "happy_binary_routed_duallora4x4_lr1e-3_beta0.02_bs32_s42"


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        ({}, "happy_binary_unrouted_full_lr1e-5_beta0.02_bs32_s42"),
        ({"adapter": AdapterSettings(kind="lora")}, "happy_binary_unrouted_lora8_lr1e-3_beta0.02_bs32_s42"),
        ({"adapter": AdapterSettings(kind="lora", rank=2)}, "happy_binary_unrouted_lora2_lr1e-3_beta0.02_bs32_s42"),
        ({"adapter": AdapterSettings(kind="dual_lora")}, "happy_binary_unrouted_duallora4x4_lr1e-3_beta0.02_bs32_s42"),
        (
            {"routing": ROUTED, "adapter": AdapterSettings(retain_rank=1, forget_rank=16)},
            "happy_binary_routed_duallora1x16_lr1e-3_beta0.02_bs32_s42",
        ),
        (
            {"routing": ROUTED, "adapter": AdapterSettings(preset="r1h")},
            "happy_binary_routed_duallora1x1_lr1e-3_beta0.02_bs32_s42_alpha1_stride2",
        ),
        (
            {"routing": RoutingSettings(True, "exclusive"), "seed": 7, "beta": 0.0, "lr": 0.001, "batch_size": 64},
            "happy_binary_routed_duallora4x4_lr1e-3_beta0_bs64_s7_modeexclusive",
        ),
        (
            {"reward": "sentence_length_5_with_happy", "max_steps": 300, "num_generations": 8},
            "sentence_length_5_with_happy_unrouted_full_lr1e-5_beta0.02_bs32_s42_max_steps300_num_generations8",
        ),
        (
            {"sampling": SamplingSettings(temperature=0.7), "grpo": GRPOSettings(loss_type="dr_grpo", mask_truncated=True)},
            "happy_binary_unrouted_full_lr1e-5_beta0.02_bs32_s42_temperature0.7_loss_typedr_grpo_mask_truncatedTrue",
        ),
        (
            {"env": EnvironmentSettings(num_prompts=100)},
            "happy_binary_unrouted_full_lr1e-5_beta0.02_bs32_s42_env.num_prompts100",
        ),
        (
            {"eval": EvaluationSettings(num_prompts=100)},
            "happy_binary_unrouted_full_lr1e-5_beta0.02_bs32_s42_eval.num_prompts100",
        ),
        (
            {"device": "cuda:1", "overwrite": True, "output_dir": Path("x"), "wandb": WandbSettings("online", "y")},
            "happy_binary_unrouted_full_lr1e-5_beta0.02_bs32_s42",
        ),
    ],
)
def test_names(asked: dict, expected: str):
    assert name_of(**asked) == expected


@pytest.mark.parametrize(
    ("asked", "readable"),
    [
        ({"reward": {"name": "happy_count", "params": {"cap": 5}}}, "happy_count_unrouted_full_lr1e-5_beta0.02_bs32_s42"),
        (
            {"reward": {"components": [{"name": "happy_binary"}, {"name": "happy_exp"}]}},
            "happy_binary+happy_exp_unrouted_full_lr1e-5_beta0.02_bs32_s42",
        ),
        ({"reward": "happy_count(cap=5)"}, "happy_count-cap-5_unrouted_full_lr1e-5_beta0.02_bs32_s42"),
        (
            {"model": "SimpleStories/SimpleStories-1.25M"},
            "happy_binary_unrouted_full_lr1e-5_beta0.02_bs32_s42_modelSimpleStories-SimpleStories-1.25M",
        ),
        (
            {"env": EnvironmentSettings(detector="happy_at_least(threshold=2)")},
            "happy_binary_unrouted_full_lr1e-5_beta0.02_bs32_s42_detectorhappy_at_least-threshold-2",
        ),
        ({"model": "x_datasety"}, "happy_binary_unrouted_full_lr1e-5_beta0.02_bs32_s42_modelx_datasety"),
    ],
)
def test_a_name_that_does_not_tell_all_ends_with_the_hash(asked: dict, readable: str):
    assert name_of(**asked) == f"{readable}_{config_hash(resolved(Experiment(**asked)))}"


def test_the_environments_own_detector_is_not_in_the_name():
    own = resolved(Experiment(env=EnvironmentSettings(detector=DETECTOR)))
    assert run_name(own, DETECTOR) == name_of()
    assert "happy_at_least" in run_name(own, "contains_words(words=['sad'])")


HALF = LabelSettings(fraction=0.5)
NEIGHBOURS = [
    ({"lr": 3e-4}, {"lr": 3.00000001e-4}),
    ({"beta": 0.02}, {"beta": 0.0200000001}),
    ({"adapter": AdapterSettings(kind="lora", alpha=16.0)}, {"adapter": AdapterSettings(kind="lora", alpha=16.000001)}),
    ({"env": EnvironmentSettings(num_prompts=100)}, {"eval": EvaluationSettings(num_prompts=100)}),
    ({"reward": "happy_count"}, {"reward": {"name": "happy_count"}}),
    ({"reward": {"name": "happy_count"}}, {"reward": {"name": "happy_count", "params": {"cap": 5}}}),
    ({"reward": "happy_count(cap=5)"}, {"reward": "happy_count(cap=-5)"}),
    ({"reward": "a(b)"}, {"reward": "a-b"}),
    ({"model": "a/b"}, {"model": "a-b"}),
    ({"model": "a/b"}, {"model": "a:b"}),
    ({"model": "ä"}, {"model": "ö"}),
    ({"model": "x_datasety"}, {"model": "x", "dataset": "y"}),
    ({"model": "x_text_columny"}, {"model": "x", "text_column": "y"}),
    (
        {"model": "x_eligible", "routing": ROUTED, "labels": HALF},
        {"model": "x", "routing": ROUTED, "env": EnvironmentSettings(eligible_fraction=0.5)},
    ),
    ({"reward": "a_routed_full_lr1e-5_beta0.02_bs32_s42"}, {"reward": "a"}),
    ({"reward": "x" * 300}, {"reward": "x" * 301}),
    ({"model": "x" * 300}, {"model": "x" * 300, "seed": 1}),
    ({"routing": ROUTED}, {"adapter": AdapterSettings(kind="dual_lora")}),
]


@pytest.mark.parametrize(("one", "other"), NEIGHBOURS)
def test_neighbours_have_names_of_their_own(one: dict, other: dict):
    assert name_of(**one) != name_of(**other)


def test_the_name_sees_every_setting_but_where_and_how_a_run_is_kept():
    def is_seen(name: str) -> bool:
        kind = "dual_lora" if name in ("adapter.retain_rank", "adapter.forget_rank") else "lora"
        before = spelt_out(resolved(Experiment(adapter=AdapterSettings(kind=kind))))
        value = "none" if name == "adapter.kind" else another(before[name])
        return settings_name(before | {name: value}, DETECTOR) != settings_name(before, DETECTOR)

    names = set(flatten(Experiment())) - UNSEEN - {"device", "adapter.preset"}
    assert {name for name in names if not is_seen(name)} == set()


TEXTS = ["nursery", "a/b", "a-b", "x", "y", "x_datasety", ""]
VALUES: dict[str, list] = {
    "reward": ["f", "f(a=5)", "f(a=-5)", "f-a-5", {"name": "f"}, {"name": "f", "cap": 1}, {"name": "f", "cap": 2}],
    "model": TEXTS,
    "dataset": TEXTS,
    "lr": [None, 1e-5, 3e-4, 3.00000001e-4],
    "beta": [0.0, 0.02, 0.0200000001],
    "seed": [4, 42],
    "env": [EnvironmentSettings(), EnvironmentSettings(num_prompts=100), EnvironmentSettings(detector="a/b")],
    "eval": [EvaluationSettings(), EvaluationSettings(num_prompts=100)],
    "routing": [RoutingSettings(), ROUTED, RoutingSettings(True, "exclusive"), RoutingSettings(True, "none")],
}
EXPERIMENTS = st.builds(Experiment, **{name: st.sampled_from(values) for name, values in VALUES.items()})


@pytest.mark.parametrize(("one", "other"), itertools.combinations(VALUES, 2))
@settings(max_examples=3, deadline=None, derandomize=True)
@given(base=EXPERIMENTS)
def test_two_experiments_never_share_a_folder_name(base: Experiment, one: str, other: str):
    """Two settings through all of their values, the others drawn."""
    distinct: list[Experiment] = []
    for a, b in itertools.product(VALUES[one], VALUES[other]):
        experiment = resolved(replace(base, **{one: a, other: b}))
        if experiment not in distinct:
            distinct.append(experiment)
    assert len({run_name(experiment, DETECTOR) for experiment in distinct}) == len(distinct)
    assert len({config_hash(experiment) for experiment in distinct}) == len(distinct)


@settings(max_examples=200, deadline=None, derandomize=True)
@given(EXPERIMENTS, st.text(max_size=400))
def test_names_are_file_names_of_bounded_length(asked: Experiment, text: str):
    for experiment in (asked, replace(asked, reward=text), replace(asked, model=text)):
        name = run_name(resolved(experiment), DETECTOR)
        assert len(name) <= LONGEST_NAME == 180
        assert set(name) <= set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.+_-")


def test_a_name_that_is_given_stands_before_the_generated_one():
    assert name_of(name="pilot-2", lr=1e-3) == f"pilot-2_{name_of(lr=1e-3)}"
    assert name_of(tags=("a", "b"), notes="for a reason") == name_of()
    long = name_of(name="x" * 100, reward="y" * 100)
    assert long.startswith(f"{'x' * 100}_yyy")
    assert len(long) == LONGEST_NAME


def test_a_long_name_keeps_its_beginning_and_ends_with_the_hash():
    asked = {"reward": "sentence_length_10_smooth", "model": "m" * 200}
    whole = "sentence_length_10_smooth_unrouted_full_lr1e-5_beta0.02_bs32_s42_model" + "m" * 200
    assert name_of(**asked) == f"{whole[:167]}_{config_hash(resolved(Experiment(**asked)))}"


# Words


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (0.02, "0.02"), (1.0, "1"), (16.0, "16"), (0.0, "0"), (1e-7, "1e-07"), (0.1 + 0.2, "0.30000000000000004"),
        (1234567.0, "1234567.0"), (5, "5"), (True, "True"), ("nursery", "nursery"), ("a/b", "a-b"), ("../x", "..-x"),
        ("f(x=3, y='a b')", "f-x-3-y-a-b"), ("", ""), ("ä", ""), ("a__b", "a__b"),
    ],
)  # fmt: skip
def test_words(value: Any, expected: str):
    assert word(value) == expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [(3e-4, "3e-4"), (2.5e-5, "2.5e-5"), (1.0, "1e0"), (10.0, "1e1"), (100000.0, "1e5"), (0.00012345678, "1.2345678e-4")],
)
def test_scientific_notation(value: float, expected: str):
    assert scientific(value) == expected


@settings(max_examples=300, deadline=None, derandomize=True)
@given(st.floats(min_value=1e-300, max_value=1e300))
def test_numbers_in_names_keep_every_digit(value: float):
    assert float(scientific(value)) == value
    assert float(word(value)) == value


@pytest.mark.parametrize(
    ("reward", "expected"),
    [
        ("happy_binary", "happy_binary"),
        ({"name": "mine", "components": [{"name": "a"}]}, "mine"),
        ({"components": [{"name": "a"}, {"name": "b", "scale": 2}]}, "a+b"),
        ({"components": []}, ""),
    ],
)
def test_reward_names(reward: Any, expected: str):
    assert reward_name(reward) == expected


# config.yaml


def test_the_saved_settings_are_nested_and_plain():
    asked = Experiment(output_dir=Path("a/b"), reward={"name": "x"}, routing=ROUTED)
    saved = to_dict(resolved(asked))
    assert yaml.safe_load(yaml.safe_dump(saved)) == saved
    assert (saved["output_dir"], saved["reward"], saved["routing"]["enabled"]) == ("a/b", {"name": "x"}, True)
    assert (saved["env"]["detector"], saved["adapter"]["preset"], saved["lr"]) == (DETECTOR, None, 1e-3)


def test_the_saved_settings_are_all_there():
    def names(values: dict, group: Any, prefix: str = "") -> list[str]:
        listed = []
        for entry in fields(group):
            value = getattr(group, entry.name)
            listed += names(values[entry.name], value, f"{prefix}{entry.name}.") if is_dataclass(value) else [prefix + entry.name]
        assert set(values) == {entry.name for entry in fields(group)}
        return listed

    assert set(names(to_dict(resolved(Experiment())), Experiment())) == set(flatten(Experiment()))
