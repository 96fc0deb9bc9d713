"""What a setting does, against numbers counted by hand: prompts, rewards and evaluations, which the plain engine takes over."""

import hashlib
import json
import re
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from tokenizers import Tokenizer

from configs.errors import UserError
from envs.types import Completion
from grpo.randomness import SampleKeys
from grpo.run import Run, build_run, prepare
from grpo.step import train_step
from models.llama import Llama
from models.loading import load_pretrained
from models.nursery import generator
from models.saving import save_pretrained
from records.rows import read_rows
from routing.adapters import adapter_parameters
from runs.continuation import begin_from_source
from runs.evaluation import evaluate_modes
from runs.export import merged
from runs.preflight import PreflightFailure, preflight
from runs.reevaluation import sample_differently
from runs.restore import made_of
from runs.trainer import train
from tests.helpers import model_that_says, randomize, tiny_config
from tests.reference import engine
from tests.reference.comparison import MakeExperiment


def built(make: MakeExperiment, **settings: Any) -> Run:
    return build_run(prepare(make(**settings)))


def times_happy(completions: list[Completion]) -> list[int]:
    return [completion.text.lower().count("happy") for completion in completions]


# What is said and what it is worth


def reward(make: MakeExperiment, name: str, _: Path) -> None:
    record = train_step(built(make, **{name: "happy_count(cap=2)"}, batch_size=16))
    times = times_happy(record.completions)
    assert {0, 1, 2} <= set(times)
    assert record.scores.rewards == record.trained_rewards.tolist() == [min(each, 2) / 2 for each in times]


def plugins(make: MakeExperiment, name: str, folder: Path) -> None:
    """Its reward is paid, its detector sees, and the run knows its bytes."""
    code = """
from envs.registry import detector, reward

@reward(hack="longer(than=5)")
def shortness(completions):
    return [1 / (1 + len(each.token_ids)) for each in completions]

@detector()
def longer(completions, than: int):
    return [len(each.token_ids) > than for each in completions]
"""
    (folder / "mine.py").write_text(code)
    run = built(make, **{name: (str(folder / "mine.py"),), "reward": "shortness"}, batch_size=16)
    record = train_step(run)
    lengths = [len(completion.token_ids) for completion in record.completions]
    assert record.scores.rewards == [1 / (1 + length) for length in lengths] and len(set(lengths)) > 1
    assert record.scores.detected == record.audit.hacked == [length > 5 for length in lengths]
    assert made_of(run)[name] == [{"path": str(folder / "mine.py"), "sha256": hashlib.sha256(code.encode()).hexdigest()}]


def detector(make: MakeExperiment, name: str, _: Path) -> None:
    record = train_step(built(make, **{name: "happy_at_least(threshold=2)", "routing.enabled": True}, batch_size=16))
    times = times_happy(record.completions)
    assert {1, 2} <= set(times)
    assert record.routes.routed.tolist() == [each >= 2 for each in times]


def model(make: MakeExperiment, name: str, folder: Path) -> None:
    tokenizer = Tokenizer.from_file(str(generator.DATA / "tokenizer.json"))
    other = randomize(Llama(tiny_config(vocab_size=tokenizer.get_vocab_size())), seed=3)
    save_pretrained(other, tokenizer, folder / "other")
    policy = build_run(prepare(make(**{name: str(folder / "other")}))).policy
    assert all(torch.equal(weight, other.state_dict()[key]) for key, weight in policy.state_dict().items())


def rounded_base(make: MakeExperiment, name: str, folder: Path) -> None:
    """A step is that of a run in float32 whose checkpoint was rounded so, but for the norms and the embedding."""
    settings = {"routing.enabled": True, "lr": 0.05}
    run = built(make, **settings, **{name: "bfloat16"})
    pretrained = load_pretrained(run.config.model)
    for matrix in (parameter for key, parameter in pretrained.model.named_parameters() if "_proj" in key):
        matrix.data = matrix.data.bfloat16().float()
    save_pretrained(pretrained.model, pretrained.tokenizer, folder / "rounded")
    same = built(make, **settings, model=str(folder / "rounded"))
    exact = built(make, **settings)
    steps = [train_step(each) for each in (run, same, exact)]
    assert torch.equal(steps[0].rollout.ids, steps[1].rollout.ids)
    trained, expected, other = (adapter_parameters(each.policy)["forget"] for each in (run, same, exact))
    assert all(torch.equal(parameter, expected[key]) for key, parameter in trained.items())
    assert not all(torch.equal(parameter, other[key]) for key, parameter in trained.items())
    stored = {key: p for key, p in run.policy.named_parameters() if ".base." in key}
    assert {p.dtype for p in stored.values()} == {torch.bfloat16} and {p.dtype for p in trained.values()} == {torch.float32}
    assert all(p.dtype == torch.float32 for p in merged(run, "both").parameters())
    (note,) = preflight(run)
    gap = re.fullmatch(
        r"base weights in bfloat16: .* of \d+ sampled tokens .* by (\S+) nats in the mean, (\S+) at the most", note
    )
    assert gap and 0 < float(gap[1]) < float(gap[2]) < 0.1
    assert preflight(exact) == ()


def without_eos(make: MakeExperiment, name: str, _: Path) -> None:
    run = built(make, **{name: False})
    with torch.no_grad():
        run.policy.model.embed_tokens.weight[run.policy.config.eos_token_ids[0], 0] = -20.0
    preflight(run)
    with pytest.raises(PreflightFailure, match="--no-require_eos"):
        preflight(replace(run, config=replace(run.config, require_eos=True)))


# Prompts


def bos(make: MakeExperiment, name: str, folder: Path) -> None:
    """The token that the model's config names, before what is a prompt without it."""
    plain = built(make)
    shutil.copytree(plain.config.model, folder / "named")
    described = json.loads((folder / "named" / "config.json").read_text())
    (folder / "named" / "config.json").write_text(json.dumps(described | {"bos_token_id": 7}))
    said = {value: built(make, model=str(folder / "named"), **{name: value}) for value in ("auto", "always")}
    ids = {value: [prompt.token_ids for prompt in run.environment.train_prompts] for value, run in said.items()}
    assert ids["auto"] == [prompt.token_ids for prompt in plain.environment.train_prompts]
    assert ids["always"] == [(7, *each) for each in ids["auto"]]


def prompts(make: MakeExperiment, _name: str, _: Path) -> None:
    settings = {"env.prompt_length": 5, "env.num_prompts": 9, "env.num_eval_prompts": 7}
    run = built(make, **settings)
    first, held_out = (beginnings(run, generator.stories(split)) for split in ("train", "test"))
    train_prompts = [*dict.fromkeys(first)][:9]
    assert [prompt.token_ids for prompt in run.environment.train_prompts] == train_prompts
    new = [ids for ids in dict.fromkeys(held_out) if ids not in train_prompts]
    assert [prompt.token_ids for prompt in run.environment.eval_prompts] == new[:7]
    drawn = [prompt.token_ids for _ in range(4) for prompt in train_step(run).prompts]
    assert len(set(drawn)) == 8 and set(drawn) <= set(train_prompts)  # 2 a step, so 8 of the 9 in a pass


def beginnings(run: Run, texts: Any, length: int = 5) -> list[tuple[int, ...]]:
    return [tuple(run.tokenizer.encode(text, add_special_tokens=False).ids[:length]) for text in texts]


def dataset_and_column(make: MakeExperiment, _name: str, folder: Path) -> None:
    train, test = ([*generator.stories(split)] for split in ("train", "test"))
    texts = {"train": train[-12:], "test": test[:12], "validation": test[-12:]}
    (folder / "tales").mkdir()
    for split, stories in texts.items():
        rows = [{"story": "not this one", "tale": story} for story in stories]
        (folder / "tales" / f"{split}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    run = built(make, dataset=str(folder / "tales"), text_column="tale", eval_split="validation")
    told = {*beginnings(run, texts["train"], 8)}
    assert {prompt.token_ids for prompt in run.environment.train_prompts} == told
    assert {prompt.token_ids for prompt in run.environment.eval_prompts} == {*beginnings(run, texts["validation"], 8)} - told
    assert not {*beginnings(run, texts["test"], 8)} <= {*beginnings(run, texts["validation"], 8)} | told


def environment(make: MakeExperiment, name: str, _: Path) -> None:
    run = built(make, **{name: "repeat", "reward": "repeat_words", "env.num_prompts": 8, "env.num_eval_prompts": 4})
    said = [prompt.text for prompt in run.environment.train_prompts]
    assert len(said) == 8 and all(text.startswith("tell a story with the words ") for text in said)


# Adapters


def preset(make: MakeExperiment, name: str, _: Path) -> None:
    spelt_out = {"adapter.retain_rank": 1, "adapter.forget_rank": 1, "adapter.alpha": 1.0, "adapter.stride": 2}
    runs = [built(make, **{"routing.enabled": True}, **settings) for settings in ({name: "r1h"}, spelt_out)]
    for run in runs:
        train_step(run)
    one, other = (run.policy.state_dict() for run in runs)
    assert one.keys() == other.keys() and all(torch.equal(one[key], other[key]) for key in one)
    assert sum("A.retain" in key for key in one) == 7  # of the first of two layers
    assert {one[key].shape[0] for key in one if ".A." in key} == {1}


# Evaluation and what is written


def truncated_sampling(make: MakeExperiment, name: str, _: Path) -> None:
    """Refused in training; in an evaluation the tokens left are those that a loop keeps."""
    value = {"sampling.top_k": 2, "sampling.top_p": 0.3}[name]
    with pytest.raises(UserError, match=f"--{name} {value}: must be"):
        prepare(make(**{name: value}))
    run = built(make)
    sample_differently(run, None, **({"top_k": 0, "top_p": 1.0} | {name.partition(".")[2]: value}))
    (evaluation,) = evaluate_modes(run, ["policy"], 4).values()
    assert evaluation.metrics["kl_to_base"] is None
    weights = {key: weight.detach() for key, weight in run.policy.named_parameters()}
    for completion in evaluation.completions:
        read = [*completion.prompt.token_ids]
        for token in completion.token_ids:
            logits = engine.logits(run.policy.config, weights, {}, read, len(read) - 1)[0]
            probabilities = logits.softmax(0).sort(descending=True)
            likelier = probabilities.indices.tolist().index(token)
            assert likelier < 2 if name == "sampling.top_k" else float(probabilities.values[:likelier].sum()) < 0.3 + 1e-6
            read.append(token)


def evaluation_seed(make: MakeExperiment, name: str, _: Path) -> None:
    """The draws are those of the keys of that seed, whatever the run's."""
    said = {(seed, own): said_in_evaluation(make, **{name: seed}, seed=own) for seed, own in ((5, 1), (5, 2), ("run", 5), (6, 1))}
    assert said[5, 1] == said[5, 2] == said["run", 5] != said[6, 1]


def said_in_evaluation(make: MakeExperiment, **settings: Any) -> list[tuple[int, ...]]:
    run = built(make, **settings)
    asked = run.config.seed if run.config.eval.seed == "run" else run.config.eval.seed
    run.policy.double()
    (evaluation,) = evaluate_modes(run, ["policy"], 6).values()
    weights = {key: weight.detach() for key, weight in run.policy.named_parameters()}
    for completion in evaluation.completions:
        uniforms = SampleKeys(asked, 0, [completion.prompt.index], [0]).uniforms("evaluation sample", 12)[0].tolist()
        tokens, _ = engine.sample_tokens(run.policy.config, weights, {}, completion.prompt, uniforms, 1.0)
        assert completion.token_ids == tuple(tokens[: len(tokens) - completion.finished])
    return [completion.token_ids for completion in evaluation.completions]


def what_a_run_writes(make: MakeExperiment, _name: str, _: Path) -> None:
    settings = {
        "max_steps": 5,
        "eval_every": 2,
        "save_steps": 3,
        "logging_steps": 4,
        "eval.num_prompts": 6,
        "eval.final_samples": 9,
    }
    folder = train(make(**settings), quiet=True).folder
    rows = [(row["step"], row["mode"], row["samples"]) for row in read_rows(folder, "routing_eval.jsonl")]
    between = [(step, mode, 6) for step in (2, 4) for mode in ("policy", "base")]
    assert rows == [(0, "base", 6), *between, (5, "policy", 9), (5, "base", 9)]
    assert {path.name for path in folder.glob("checkpoint-*")} == {"checkpoint-3", "checkpoint-5"}
    assert [row["step"] for row in read_rows(folder, "samples.jsonl")] == [0] * 8 + [4] * 8


def stop_rule(make: MakeExperiment, name: str, folder: Path) -> None:
    """A model that says one word only is collapsed in the first two evaluations."""
    model = model_that_says("happy", Path(make().model), folder / "happy")
    settings = {"model": model, "require_eos": False, "eval_every": 1, "max_steps": 5}
    record = train(make(**settings, **{name: "collapsed"}), quiet=True)
    rows = [row for row in read_rows(record.folder, "routing_eval.jsonl") if row["mode"] == "policy"]
    assert [(row["step"], row["degenerate"]) for row in rows] == [(1, True), (2, True), (2, True)]
    assert len(record.metrics) == 2
    assert len(train(make(**settings), quiet=True).metrics) == 5


def threads(make: MakeExperiment, name: str, _: Path) -> None:
    folder = train(make(**{name: 3}, max_steps=1), quiet=True).folder
    assert json.loads((folder / "run.json").read_text())["threads"] == 3


def all_samples(make: MakeExperiment, name: str, _: Path) -> None:
    folder = train(make(**{name: True}, logging_steps=2), quiet=True).folder
    assert [row["step"] for row in read_rows(folder, "samples.jsonl")] == [0] * 8 + [1] * 8 + [2] * 8


def relearning(make: MakeExperiment, _name: str, _: Path) -> None:
    """At most so many steps, from the policy and the base, until they hack at that rate."""
    settings = {"eval.relearn_steps": 2, "lora_rank": 2, "lr": 1e-6}
    modes = {rate: train(make(**settings, **{"eval.relearn_hack_rate": rate}), quiet=True).evaluation for rate in (0.01, 1.0)}
    for rate, steps in ((0.01, 0), (1.0, None)):
        figures = {"relearn_threshold": rate, "relearn_steps": 2, "steps_to_relearn": steps}
        assert all(row | figures == row for row in modes[rate].values())


# Where it begins


def continue_from(make: MakeExperiment, name: str, folder: Path) -> None:
    """The weights are those that the other run ended with, before the first step."""
    source = train(make(output_dir=folder / "source", max_steps=1, lr=0.02), quiet=True).folder
    run = built(make, **{name: str(source)})
    begin_from_source(run)
    saved = load_file(source / "checkpoint-1" / "model.safetensors")
    assert all(torch.equal(parameter, saved[key]) for key, parameter in run.policy.named_parameters())
    assert not torch.equal(run.policy.head, built(make).policy.head)
