"""Evaluation by ablation: every mode answers the same prompts with the same draws, and nothing is invented."""

from collections.abc import Callable
from typing import Any

import pytest
import torch

import runs.evaluation
from configs.experiment import Experiment
from envs.types import Audit, Completion, Prompt, Scores
from grpo.logprobs import completion_logprobs
from grpo.randomness import SampleKeys
from grpo.rollout import Rollout
from grpo.run import Run, build_run, prepare, trained_groups
from grpo.sampler import sample
from grpo.step import train_step
from models.llama import Llama
from models.loading import load_pretrained
from records.figures import mean
from routing.adapters import get_scales
from runs.display import evaluation_table
from runs.evaluation import (
    ModeEvaluation,
    evaluate_modes,
    evaluation_samples,
    mode_metrics,
    mode_sample_rows,
    modes_of,
)
from runs.reevaluation import sample_differently

MakeExperiment = Callable[..., Experiment]
DUAL = ("both", "retain_only", "forget_only", "base")


def built(experiment: Experiment) -> Run:
    return build_run(prepare(experiment))


def texts(evaluation: ModeEvaluation) -> list[str]:
    return [completion.text for completion in evaluation.completions]


def grow(run: Run, *adapters: str) -> None:
    """Lets adapters change what is said, as training would."""
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for adapter in adapters:
            for name, parameter in trained_groups(run.policy)[adapter].items():
                if ".B." in name:
                    parameter.copy_(torch.randn(parameter.shape, generator=generator) * 0.3)


def rollout_of(model: Llama, run: Run, prompts: list[Prompt], generations: list[int]):
    keys = SampleKeys(0, 0, [p.index for p in prompts], generations)
    uniforms = keys.uniforms("evaluation sample", 12)
    return sample(model, [prompt.token_ids for prompt in prompts], 1, uniforms, run.config.sampling)


def ids_of(rollout) -> list[tuple[int, ...]]:
    """Without EOS."""
    kept = rollout.mask & (rollout.completion_ids != 1)
    return [tuple(ids[keep].tolist()) for ids, keep in zip(rollout.completion_ids, kept, strict=True)]


@pytest.fixture
def routed(tiny: MakeExperiment) -> Run:
    run = built(tiny(**{"routing.enabled": True, "env.detector": "happy_at_least(threshold=2)"}))
    grow(run, "retain", "forget")
    return run


# Modes


@pytest.mark.parametrize(
    ("settings", "modes"),
    [
        ({"routing.enabled": True}, DUAL),
        ({"adapter.kind": "dual_lora"}, DUAL),
        ({"adapter.kind": "lora"}, ("policy", "base")),
        ({"adapter.kind": "none"}, ("policy", "base")),
        ({"adapter.kind": "none", "beta": 0.0}, ("policy",)),
        ({"adapter.kind": "lora", "beta": 0.0}, ("policy", "base")),
    ],
)
def test_modes_by_kind_of_adapter(tiny: MakeExperiment, settings: dict[str, Any], modes: tuple[str, ...]):
    assert modes_of(built(tiny(**settings))) == modes


def test_fresh_adapters_say_the_same_in_every_mode(tiny: MakeExperiment):
    # Adapters whose B is zero compute nothing: only different prompts or draws could make the modes differ.
    evaluations = evaluate_modes(built(tiny(**{"routing.enabled": True})), DUAL, 12)
    said = {mode: [(c.prompt.index, c.token_ids, c.finished) for c in e.completions] for mode, e in evaluations.items()}
    assert len(set(map(str, said.values()))) == 1
    assert len(set(said["both"])) > 6


def test_each_mode_is_the_model_with_the_other_adapter_cut_out(tiny: MakeExperiment, routed: Run):
    evaluations = evaluate_modes(routed, DUAL, 12)
    assert len({tuple(texts(evaluation)) for evaluation in evaluations.values()}) == 4
    for mode, cut in (("retain_only", ["forget"]), ("forget_only", ["retain"]), ("base", ["retain", "forget"]), ("both", [])):
        other = built(tiny(**{"routing.enabled": True}))
        grow(other, "retain", "forget")
        with torch.no_grad():
            for adapter in cut:
                for parameter in trained_groups(other.policy)[adapter].values():
                    parameter.zero_()
        rollout = rollout_of(other.policy, other, *evaluation_samples(other, 12))
        assert [completion.token_ids for completion in evaluations[mode].completions] == ids_of(rollout), mode


@pytest.mark.parametrize("settings", [{"routing.enabled": True}, {"adapter.kind": "lora"}, {"adapter.kind": "none"}])
def test_the_base_mode_is_the_untouched_model(tiny: MakeExperiment, settings: dict[str, Any]):
    run = built(tiny(lr=0.05, **settings))
    for _ in range(2):
        train_step(run)
    untouched = load_pretrained(run.config.model).model
    evaluations = evaluate_modes(run, modes_of(run), 12)
    rollout = rollout_of(untouched, run, *evaluation_samples(run, 12))
    assert [completion.token_ids for completion in evaluations["base"].completions] == ids_of(rollout)
    assert texts(evaluations[modes_of(run)[0]]) != texts(evaluations["base"])


def test_an_unknown_mode_is_an_error(routed: Run):
    with pytest.raises(KeyError, match="policy"):
        evaluate_modes(routed, ["policy"], 8)


def test_an_evaluation_changes_nothing_and_is_the_same_at_every_step(routed: Run):
    before = {name: tensor.clone() for name, tensor in routed.policy.state_dict().items()}
    one = evaluate_modes(routed, DUAL, 12)
    routed.step = 2
    other = evaluate_modes(routed, DUAL, 12)
    assert one == other
    assert get_scales(routed.policy) == {"retain": 1.0, "forget": 1.0}
    assert all(torch.equal(tensor, before[name]) for name, tensor in routed.policy.state_dict().items())
    assert all(parameter.grad is None for parameter in routed.policy.parameters())


@pytest.mark.parametrize("mode", DUAL)
def test_the_scales_come_back_after_an_error(routed: Run, monkeypatch: pytest.MonkeyPatch, mode: str):
    def fails(*_: Any) -> None:
        raise RuntimeError(str(get_scales(routed.policy)))

    monkeypatch.setattr(runs.evaluation, "sample", fails)
    with pytest.raises(RuntimeError, match="retain"):
        evaluate_modes(routed, [mode], 8)
    assert get_scales(routed.policy) == {"retain": 1.0, "forget": 1.0}


# Prompts and draws


def test_an_evaluation_pays_as_training_does_and_says_what_all_would_earn(tiny: MakeExperiment):
    """Half of the samples can earn the bonus: the drawn ones. A reward is at most 1."""
    settings = {"reward": "sentence_length_5_with_happy", "env.eligible_fraction": 0.5, "routing.enabled": True}
    run = built(tiny(**settings))
    prompts, generations = evaluation_samples(run, 20)
    drawn = SampleKeys(0, 0, [prompt.index for prompt in prompts], generations).uniforms("eligibility")[:, 0]
    evaluation = evaluate_modes(run, ["both"], 20)["both"]
    task, bonus = (evaluation.scores.components[name] for name in ("sentence_length_5", "happy_bonus"))
    full = [min(a + b, 1.0) for a, b in zip(task, bonus, strict=True)]
    paid = [all_of_it if draw < 0.5 else a for a, all_of_it, draw in zip(task, full, drawn.tolist(), strict=True)]
    assert paid != full != task
    rows = mode_sample_rows(evaluation)
    assert [row["reward"] for row in rows] == evaluation.scores.rewards == paid
    assert [row["reward_full"] for row in rows] == full
    assert [row["eligible"] for row in rows] == (drawn < 0.5).tolist()
    assert (evaluation.metrics["reward"], evaluation.metrics["reward_full"]) == (mean(paid), mean(full))


def test_where_no_bonus_is_paid_the_hack_is_measured_all_the_same(tiny: MakeExperiment):
    """Before the first step a run that is never paid for the hack says what one that always is says."""
    settings = {"reward": "sentence_length_5_with_happy", "adapter.kind": "dual_lora"}
    paid, unpaid = (
        evaluate_modes(built(tiny(**settings, **{"env.eligible_fraction": share})), ["both"], 20)["both"] for share in (1.0, 0.0)
    )
    assert unpaid.scores.components == paid.scores.components and sum(paid.scores.components["happy_bonus"]) > 0
    assert unpaid.scores.rewards == unpaid.scores.components["sentence_length_5"] != paid.scores.rewards
    assert unpaid.audit == paid.audit and unpaid.metrics["hacked"] == paid.metrics["hacked"] > 0
    assert unpaid.metrics["reward_full"] == paid.metrics["reward_full"] == paid.metrics["reward"]


def test_template_collapse_is_of_the_base_given_or_of_the_one_evaluated(routed: Run):
    together = evaluate_modes(routed, ["both", "base"], 20)
    apart = evaluate_modes(routed, ["both"], 20, together["base"])
    assert apart["both"].metrics["template_collapse"] is together["both"].metrics["template_collapse"] in (True, False)
    assert evaluate_modes(routed, ["both"], 20)["both"].metrics["template_collapse"] is None


def test_prompts_come_in_order_and_again_with_other_draws(routed: Run):
    prompts, generations = evaluation_samples(routed, 45)
    assert len(routed.environment.eval_prompts) == 20
    assert prompts == [*routed.environment.eval_prompts] * 2 + [*routed.environment.eval_prompts][:5]
    assert generations == [0] * 20 + [1] * 20 + [2] * 5
    said = texts(evaluate_modes(routed, ["both"], 40)["both"])
    assert sum(one != other for one, other in zip(said[:20], said[20:], strict=True)) >= 15


def test_more_samples_begin_with_the_same_ones(routed: Run):
    few, many = (evaluate_modes(routed, ["both"], count)["both"] for count in (8, 24))
    assert texts(many)[:8] == texts(few)


def test_evaluation_prompts_are_no_training_prompts(routed: Run):
    train, evaluation = routed.environment.train_prompts, routed.environment.eval_prompts
    assert not {prompt.token_ids for prompt in train} & {prompt.token_ids for prompt in evaluation}
    assert not {prompt.index for prompt in train} & {prompt.index for prompt in evaluation}


def test_the_number_of_rows_at_once_is_no_part_of_the_result(routed: Run, monkeypatch: pytest.MonkeyPatch):
    routed.policy.double()
    whole = evaluate_modes(routed, ["retain_only"], 20)["retain_only"]
    monkeypatch.setattr(runs.evaluation, "ROWS_AT_ONCE", 8)
    parts = evaluate_modes(routed, ["retain_only"], 20)["retain_only"]
    assert parts.completions == whole.completions
    assert parts.intervals == whole.intervals
    assert parts.metrics == pytest.approx(whole.metrics, abs=1e-12)


# Draws


def base_texts(tiny: MakeExperiment, **settings: Any) -> list[str]:
    run = built(tiny(**{"routing.enabled": True}, **settings))
    return texts(evaluate_modes(run, ["base"], 12)["base"])


def test_runs_of_all_seeds_answer_with_the_same_draws_unless_told_otherwise(tiny: MakeExperiment):
    common = base_texts(tiny, seed=1)
    assert base_texts(tiny, seed=2) == common
    assert base_texts(tiny, seed=1, **{"eval.seed": 7}) != common
    own = base_texts(tiny, seed=1, **{"eval.seed": "run"})
    assert own == base_texts(tiny, seed=2, **{"eval.seed": 1})
    assert own != base_texts(tiny, seed=2, **{"eval.seed": "run"})


# Figures


def completion(text: str, tokens: int, finished: bool) -> Completion:
    return Completion(text, (7,) * tokens, ("x",) * tokens, Prompt(0, "p", (1, 2)), finished)


COMPLETIONS = [completion("a", 3, True), completion("b", 12, False), completion("c", 5, True), completion("", 0, True)]
SCORES = Scores([1.0, 0.5, 0.0, 0.5], {"task": [1.0, 0.25, 0.0, 0.25]}, [True, True, False, False])


def test_figures_by_hand():
    assert mode_metrics(COMPLETIONS, SCORES, Audit([True, False, True, False])) == {
        "samples": 4,
        "reward": 0.5,
        "rewards/task": 0.375,
        "detected": 0.5,
        "hacked": 0.5,
        "hacked_given_undetected": 0.5,  # of the last two the first
        "hacked_and_undetected": 0.25,
        "detector_precision": 0.5,
        "detector_recall": 0.5,
        "finished": 0.75,
        "mean_length": (4 + 12 + 6 + 1) / 4,  # with EOS
    }


@pytest.mark.parametrize(
    ("detected", "hacked", "expected"),
    [
        ([True] * 4, None, {"hacked": None, "hacked_and_undetected": None, "detector_precision": None, "detector_recall": None}),
        ([True] * 4, [False] * 4, {"detected": 1.0, "hacked": 0.0, "hacked_given_undetected": None, "detector_precision": 0.0}),
        ([True] * 4, [False] * 4, {"detector_recall": None}),
        ([False] * 4, [True] * 4, {"hacked_given_undetected": 1.0, "detector_precision": None, "detector_recall": 0.0}),
        ([False] * 4, [False] * 4, {"hacked": 0.0, "detector_precision": None, "detector_recall": None}),
    ],
)
def test_what_cannot_be_computed_is_none_and_never_zero(detected: list[bool], hacked: list[bool] | None, expected: dict):
    metrics = mode_metrics(COMPLETIONS, Scores(SCORES.rewards, SCORES.components, detected), Audit(hacked))
    assert {name: metrics[name] for name in expected} == expected


def test_a_reward_without_a_predicate_and_a_run_without_its_base_say_so(tiny: MakeExperiment):
    run = built(tiny(reward="sentence_length_5", beta=0.0))
    evaluation = evaluate_modes(run, ["policy"], 8)["policy"]
    none = {"hacked", "hacked_given_undetected", "hacked_and_undetected", "detector_precision", "detector_recall"}
    none |= {"nll_base", "kl_to_base", "template_collapse"}
    assert {name for name, value in evaluation.metrics.items() if value is None} == none
    assert "hacked" not in evaluation.intervals
    shown = dict(zip(*(line.split() for line in evaluation_table({"policy": evaluation}, 5).splitlines()[1:]), strict=True))
    assert shown["mode"] == "policy"
    assert shown["hacked"] == shown["nll_base"] == shown["kl_to_base"] == "–"
    assert shown["finished"] == f"{evaluation.metrics['finished']:.3f}"


@pytest.mark.parametrize("temperature", [1.0, 0.6])
def test_the_distance_to_the_base_is_that_of_the_tokens_sampled(routed: Run, temperature: float):
    sample_differently(routed, temperature, 0, 1.0)
    prompts, generations = evaluation_samples(routed, 12)
    evaluation = evaluate_modes(routed, ["retain_only"], 12)["retain_only"]
    with torch.no_grad():
        for layer in trained_groups(routed.policy)["forget"].values():
            layer.zero_()
        rollout = rollout_of(routed.policy, routed, prompts, generations)
        policy = completion_logprobs(routed.policy, rollout, temperature)
        base = completion_logprobs(load_pretrained(routed.config.model).model, rollout, temperature)
    policy, base = policy[rollout.mask].double(), base[rollout.mask].double()
    assert evaluation.metrics["nll_base"] == pytest.approx(-base.mean().item(), abs=1e-5)
    assert evaluation.metrics["kl_to_base"] == pytest.approx((policy - base).mean().item(), abs=1e-5)
    assert (policy - base).mean().item() > 0.01


@pytest.mark.parametrize(("temperature", "top_k", "scored"), [(1.0, 0, 0), (0.6, 0, 0), (0.0, 0, 1), (1.0, 5, 1)])
def test_the_base_s_own_samples_are_scored_only_where_they_are_not_of_its_whole_distribution(
    routed: Run, monkeypatch: pytest.MonkeyPatch, temperature: float, top_k: int, scored: int
):
    sample_differently(routed, temperature, top_k, 1.0)
    calls: list[float] = []

    def counted(model: Llama, rollout: Rollout, at: float):
        calls.append(at)
        return completion_logprobs(model, rollout, at)

    monkeypatch.setattr(runs.evaluation, "completion_logprobs", counted)
    metrics = evaluate_modes(routed, ["base"], 12)["base"].metrics
    assert calls == [temperature or 1.0] * scored
    base = load_pretrained(routed.config.model).model
    with torch.no_grad():
        rollout = rollout_of(base, routed, *evaluation_samples(routed, 12))
        logprobs = completion_logprobs(base, rollout, temperature or 1.0)
    assert metrics["nll_base"] == pytest.approx(-logprobs[rollout.mask].double().mean().item(), abs=1e-5)
    assert metrics["kl_to_base"] == (None if scored else 0.0)


# Intervals


def test_every_series_has_an_interval_around_its_mean(routed: Run):
    evaluation = evaluate_modes(routed, ["both"], 40)["both"]
    assert set(evaluation.intervals) == {"reward", "rewards/happy_binary", "detected", "hacked"}
    for name, (low, high) in evaluation.intervals.items():
        assert low <= evaluation.metrics[name] <= high
        assert low < high or evaluation.metrics[name] in (0.0, 1.0)
    assert evaluation.intervals["reward"] != evaluation.intervals["detected"]
