"""What a sweep is asked for with: words, files of Python; and one line for everything that is wrong."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from configs.baselines import BASELINES
from configs.cli import parse_value, split_at_commas
from configs.errors import UserError
from configs.experiment import Experiment, LabelSettings
from configs.resolve import with_setting
from configs.sweep import load_sweep
from tests.configs.asked import differing, read, refusal

ROOT = Path(__file__).parents[2]
WITH_BONUS = "sentence_length_5_with_happy"
RANGE = "a range is FIRST..LAST or FIRST..LAST..STEP, of whole numbers, the first the lowest"


# Words


def test_the_grid_and_what_is_fixed():
    options, sweep = read(
        *["--reward", "sentence_length_5", "--grid", "seed=42,123,7", "beta=0.01,0.02"],
        *["--fixed", "lr=1e-5", "batch_size=32", "num_generations=16", "max_steps=1000", "--per_gpu", "12"],
    )
    assert sweep.grid == {"seed": (42, 123, 7), "beta": (0.01, 0.02)}
    assert differing(sweep.base) == {"reward": "sentence_length_5", "lr": 1e-5, "max_steps": 1000}
    assert (sweep.seeds, sweep.baselines, sweep.keep) == ((), (), None)
    assert options.per_gpu == 12
    assert (options.jobs, options.retries, options.backend, options.mps, options.dry_run) == (None, 1, "local", None, False)


@pytest.mark.parametrize(
    ("word", "grid"),
    [
        ("labels.fraction=0.2,1", {"labels.fraction": (0.2, 1.0)}),
        ("routing.enabled=true,false", {"routing.enabled": (True, False)}),
        ("lr=None,3e-4", {"lr": (None, 3e-4)}),
        ("adapter.kind=lora,None", {"adapter.kind": ("lora", None)}),
        ("max-steps=5, 6", {"max_steps": (5, 6)}),
        ("seed=3", {"seed": (3,)}),
        ("reward=happy_count(cap=5),happy_binary", {"reward": ("happy_count(cap=5)", "happy_binary")}),
        (
            "reward={name: happy_count, params: {cap: 5}},happy_exp",
            {"reward": ({"name": "happy_count", "params": {"cap": 5}}, "happy_exp")},
        ),
        ("seed=1..5", {"seed": (1, 2, 3, 4, 5)}),
        ("seed=0..100..25,7", {"seed": (0, 25, 50, 75, 100, 7)}),
        ("seed=0..9..4", {"seed": (0, 4, 8)}),
        ("eval.seed=1..2,run", {"eval.seed": (1, 2, "run")}),
        ("lora_rank=2..3,None", {"lora_rank": (2, 3, None)}),
        ("model=../a,1..2", {"model": ("../a", "1..2")}),
        ("env.detector=f(words=['a','b'],n=1),g", {"env.detector": ("f(words=['a','b'],n=1)", "g")}),
    ],
)
def test_values_of_the_grid_are_those_of_the_command_line(word: str, grid: dict):
    assert read("--grid", word)[1].grid == grid


def test_the_grid_may_be_given_in_parts_and_options_of_a_run_among_them():
    options, sweep = read(
        "--grid", "seed=1,2", "--routing.enabled", "--grid", "beta=0,1", "--fixed", "lr=1", "--fixed", "max_steps=9"
    )
    assert sweep.grid == {"seed": (1, 2), "beta": (0.0, 1.0)}
    assert differing(sweep.base) == {"routing.enabled": True, "lr": 1.0, "max_steps": 9}
    assert options.baselines is False
    assert read("--baselines", "--routing.enabled", "--reward", WITH_BONUS)[1].baselines == tuple(BASELINES)


@pytest.mark.parametrize(
    ("words", "is_left_out"),
    [
        (["--reward", "happy_count"], True),
        (["--grid", f"reward={WITH_BONUS},happy_count"], True),
        (["--grid", f"reward={WITH_BONUS},sentence_length_10_smooth_with_happy"], False),
    ],
)
def test_all_baselines_are_without_the_unhackable_where_a_reward_has_no_bonus_to_leave_unpaid(words: list, is_left_out: bool):
    expected = [name for name in BASELINES if name != "unhackable" or not is_left_out]
    assert read("--baselines", "--routing.enabled", *words)[1].baselines == tuple(expected)


def test_a_yaml_file_lies_beneath_the_grid_and_what_is_fixed(tmp_path: Path):
    file = tmp_path / "base.yaml"
    file.write_text("beta: 0.5\nseed: 3\nlr: 1.0\nmax_steps: 8\n")
    sweep = read("--config", str(file), "--grid", "seed=1,2", "--fixed", "lr=2", "--max_steps", "9")[1]
    assert differing(sweep.base) == {"beta": 0.5, "seed": 3, "lr": 2.0, "max_steps": 9}


def test_a_yaml_file_may_hold_the_grid_with_whole_rewards(tmp_path: Path):
    file = tmp_path / "grid.yaml"
    reward = {"components": [{"name": "happy_exp", "role": "retain"}, {"name": "happy_count", "params": {"cap": 5}}], "cap": 1.0}
    grid = {"seed": "1..3", "lr": [None, 1e-3], "routing.enabled": [True, False], "reward": ["happy_count(cap=5)", reward]}
    nested = {"seed": "1..3", "lr": [None, 1e-3], "routing": {"enabled": [True, False]}, "reward": grid["reward"]}
    expected = {"seed": (1, 2, 3), "lr": (None, 1e-3), "routing.enabled": (True, False), "reward": ("happy_count(cap=5)", reward)}
    for given in (grid, nested):
        file.write_text(yaml.safe_dump({"max_steps": 9, "sample": 4, "grid": given}))
        sweep = read("--config", str(file), "--grid", "beta=0,1")[1]
        assert (sweep.grid, sweep.sample) == (expected | {"beta": (0.0, 1.0)}, 4)
        assert differing(sweep.base) == {"max_steps": 9}
        assert sweep.named == {*expected, "beta", "max_steps"}
    file.write_text("grid: {seed: 1}")
    assert read("--config", str(file))[1].grid == {"seed": (1,)}
    assert read("--config", str(file), "--grid", "beta=0,1", "seed=2,3")[1].grid == {"beta": (0.0, 1.0), "seed": (2, 3)}
    assert read("--config", str(file), "--grid=seed=2", "--lr", "1")[1].grid == {"seed": (2,)}
    file.write_text("grid: {sed: [1, 2]}")
    assert refusal("--config", str(file)) == "--grid sed=1: no such setting (did you mean seed?)"
    file.write_text("grid: {seed: [1, 1..x]}")
    assert refusal("--config", str(file)) == f"--grid seed=1..x: {RANGE}"


def test_the_command_line_s_sample_wins_over_the_file_s(sweep_file):
    path = str(sweep_file("mine = Sweep(seeds=range(1, 6), sample=2, sample_seed=3)"))
    sampled = [read(path, *words)[1] for words in ((), ("--sample", "4"), ("--sample_seed", "0"))]
    assert [(sweep.sample, sweep.sample_seed) for sweep in sampled] == [(2, 3), (4, 3), (2, 0)]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("--grid bta=1", "--grid bta=1: no such setting (did you mean beta?)"),
        ("--grid xyzzy=1", "--grid xyzzy=1: no such setting"),
        ("--grid routing=true", "--grid routing=true: no such setting (did you mean routing.mode?)"),
        ("--fixed bta=1", "--fixed bta=1: no such setting (did you mean beta?)"),
        ("--grid beta=x,1", "in --grid: --beta x: must be a number"),
        ("--grid beta=1,x", "in --grid: --beta x: must be a number"),
        ("--fixed seed=1.5", "in --fixed: --seed 1.5: must be a whole number"),
        ("--fixed beta=1,2", "in --fixed: --beta 1,2: must be a number"),
        ("--grid routing.enabled=yes", "in --grid: --routing.enabled yes: must be true or false"),
        ("--grid adapter.kind=dora", "in --grid: --adapter.kind dora: accepted are dual_lora, lora, none"),
        ("--grid beta", "--grid beta: must be NAME=VALUE,VALUE"),
        ("--grid beta=", "--grid beta=: must be NAME=VALUE,VALUE"),
        ("--grid beta=1,", "--grid beta=1,: must be NAME=VALUE,VALUE"),
        ("--fixed lr", "--fixed lr: must be NAME=VALUE"),
        ("--grid", "--grid: a value is missing"),
        ("--grid beta=1,1.0", "--grid beta: 1.0 stands there twice"),
        ("--grid beta=1 beta=2", "--grid beta=2: beta stands there twice"),
        ("--grid beta=1 --grid beta=2", "--grid beta=2: beta stands there twice"),
        ("--grid beta=1,-1", "in --grid: --beta -1.0: must be 0 or more"),
        ("--jobs 0", "--jobs 0: must be at least 1"),
        ("--retries -1", "--retries -1: must be 0 or more"),
        ("--fixed lr=1 lr=1", "--fixed lr=1: lr stands there twice"),
        ("--grid beta=1,2 --fixed beta=3", "--fixed beta=3.0: --grid varies it"),
        ("--grid beta=1,2 --beta 1", "--beta 1.0: --grid varies it"),
        ("--grid routing.enabled=true,false --routing.no-enabled", "--routing.enabled False: --grid varies it"),
        ("--fixed lr=1 --lr 2", "--fixed lr=1.0: contradicts --lr 2.0"),
        ("--grid output_dir=a,b", "--grid output_dir: makes no other run, so it can not vary"),
        ("--overwrite", "--overwrite: not in a sweep, which keeps what is finished; remove its folder to start anew"),
        ("--fixed wandb.group=x", "--wandb.group x: a sweep's runs have its name as their group; see --name"),
        ("--jobs many", "--jobs many: must be a whole number"),
        ("--backend slurm", "--backend slurm: accepted are local, ray"),
        ("--gird seed=1", "--gird: no such option (did you mean --grid?); --help lists them"),
        ("--resume", "--resume: not in a sweep; the same command again goes on where it was interrupted"),
        ("--grid lr=1..5", "--grid lr=1..5: a range is of whole numbers; list the values"),
        ("--grid seed=5..1", f"--grid seed=5..1: {RANGE}"),
        ("--grid seed=1..x", f"--grid seed=1..x: {RANGE}"),
        ("--grid seed=1..9..0", f"--grid seed=1..9..0: {RANGE}"),
        ("--grid seed=1..", f"--grid seed=1..: {RANGE}"),
        ("--grid seed=0..1000", "--grid seed=0..1000: 1,001 values; a range has at most 1,000"),
        ("--grid seed=1..3,2", "--grid seed: 2 stands there twice"),
        ("--grid seed=-1..2", "in --grid: --seed -1: must be 0 or more"),
        ("--grid bta=1..5", "--grid bta=1..5: no such setting (did you mean beta?)"),
        ("--grid seed=1..5 --sample 0", "--sample 0: must be at least 1"),
        ("--grid seed=1..5 --sample_seed 0", "--sample_seed 0: has no effect without --sample"),
        ("--arms {}", "--arms: not on a command line; they stand in a file of --config, or in a sweep of Python"),
        ("--arm x", "--arm: no such option; --help lists them"),
        ("sweep.yaml", "sweep.yaml: a sweep is a Python file, FILE.py, or NAME=VALUE words after --grid and --fixed"),
        ("nowhere.py", "nowhere.py: no such file"),
    ],
)
def test_what_is_wrong_is_one_line(words: str, message: str):
    assert refusal(*words.split()) == message


def test_settings_that_somebody_wrote_are_told_so_that_those_without_effect_are_refused():
    words = ("--grid", "seed=1,2", "--fixed", "routing.mode=classic", "--beta", "0.02")
    assert read(*words)[1].named == {"seed", "routing.mode", "beta"}


def test_settings_of_a_yaml_file_are_told_as_well(tmp_path: Path):
    (tmp_path / "base.yaml").write_text("routing: {mode: classic}\n")
    assert read("--config", str(tmp_path / "base.yaml"), "--grid", "seed=1,2")[1].named == {"seed", "routing.mode"}


def test_the_same_value_twice_is_no_contradiction():
    assert read("--fixed", "lr=1", "--lr", "1.0")[1].base.lr == 1.0


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("", []),
        ("a", ["a"]),
        ("a, b", ["a", "b"]),
        ("a,", ["a", ""]),
        ("a(x=1,y=2),b", ["a(x=1,y=2)", "b"]),
        ("a(x=1,y=2),b(w=('c','d'),z=3),e", ["a(x=1,y=2)", "b(w=('c','d'),z=3)", "e"]),
        ("{a: [1,2], b: (3,4)},c", ["{a: [1,2], b: (3,4)}", "c"]),
        ("f(a=[(1,2),3]),[x,y]", ["f(a=[(1,2),3])", "[x,y]"]),
        ("{words: ['a, b', \"c}\"]},d", ["{words: ['a, b', \"c}\"]}", "d"]),
        ("{words: [don't, it's]},d", ["{words: [don't, it's]}", "d"]),
    ],
)
def test_commas_inside_brackets_do_not_split(text: str, parts: list[str]):
    assert split_at_commas(text) == parts


@pytest.mark.parametrize(
    ("name", "value", "parsed"),
    [
        ("beta", 1, 1.0),
        ("beta", "1e-3", 1e-3),
        ("lr", None, None),
        ("reward", {"name": "x", "params": {"a": [1, 2]}}, {"name": "x", "params": {"a": [1, 2]}}),
        ("routing.enabled", True, True),
        ("routing.enabled", "False", False),
        ("output_dir", "a/b", Path("a/b")),
        ("model", "None", "None"),
        ("model", "--help", "--help"),
    ],
)
def test_a_value_of_python_and_a_word_go_through_the_same_parser(name: str, value: Any, parsed: Any):
    found = parse_value(name, value)
    assert (found, type(found)) == (parsed, type(parsed))


# Files


def test_a_file_builds_a_sweep(sweep_file):
    path = sweep_file(
        "LEAST = 0.02\n"
        "def keep(experiment): return experiment.beta >= LEAST or experiment.seed == 1\n"
        "mine = Sweep(base=Experiment(max_steps=5, routing=RoutingSettings(enabled=True)), grid={'beta': [0, 0.02]},\n"
        "             seeds=range(1, 3), baselines=['lora'], keep=keep)\n"
        "again = mine\n"
    )
    found = load_sweep(path)
    assert found.grid == {"beta": (0.0, 0.02), "seed": (1, 2)}
    assert (found.base.max_steps, found.seeds, found.baselines) == (5, (), ["lora"])
    assert found.keep is not None
    assert [found.keep(replace(found.base, beta=beta, seed=2)) for beta in (0.0, 0.02)] == [False, True]

    options, sweep = read(str(path), "--max_steps", "6", "--grid", "lr=1,2", "--fixed", "batch_size=16")
    assert options.file == path
    assert sweep.grid == {"beta": (0.0, 0.02), "seed": (1, 2), "lr": (1.0, 2.0)}
    assert differing(sweep.base) == {"max_steps": 6, "batch_size": 16, "routing.enabled": True}
    assert sweep.baselines == ["lora"]
    assert read(str(path), "--baselines", "--reward", WITH_BONUS)[1].baselines == tuple(BASELINES)
    assert refusal(str(path), "--seed", "5") == f"--seed 5: {path} varies it"
    assert refusal(str(path), "--grid", "beta=1") == f"--grid beta: {path} varies it, too"
    assert refusal(str(path), "--fixed", "beta=1") == f"--fixed beta=1.0: {path} varies it"


MUST_BUILD = "must build one Sweep, as in `sweep = Sweep(base=Experiment())`, or one Series"
FAULTY = [
    ("x = 1", "{}: must build one Sweep, as in `sweep = Sweep(base=Experiment())`, or one Series; it builds none"),
    ("a = Sweep()\nb = Sweep(seeds=[1])", f"{{}}: {MUST_BUILD}; it builds 2"),
    ("a = Sweep()\nb = Series({'b': Sweep()})", f"{{}}: {MUST_BUILD}; it builds 2"),
    ("a = Series({})", "{}: a Series takes at least one Sweep"),
    ("a = Series({'b/c': Sweep()})", "{}: b/c: name='b/c': must be part of a folder's name: "),
    ("a = Series({'b': 3})", "{}: b: a Series is of Sweeps, not int"),
    ("a = Series({'b': Sweep(), 'c': Sweep(grid={'bta': [1]})})", "{}: c: grid bta=1: no such setting (did you mean beta?)"),
    ("sweep = Sweep(arms=['a'])", "{}: arms: must be a mapping of names to settings, not ['a']"),
    ("sweep = Sweep(arms={'': {}})", "{}: arms '': an arm's name must be words on one line"),
    ("sweep = Sweep(arms={'a\\nb': {}})", "{}: arms 'a\\nb': an arm's name must be words on one line"),
    ("sweep = Sweep(arms={1: {}})", "{}: arms 1: an arm's name must be words on one line"),
    ("sweep = Sweep(arms={'a b': None})", "{}: arms a b: must be a mapping of settings, not None"),
    ("sweep = Sweep(arms={'a b': {'bta': 1}})", "{}: arms a b: bta=1: no such setting (did you mean beta?)"),
    ("sweep = Sweep(arms={'a b': {'beta': -1}})", "{}: arms a b: beta=-1.0: must be 0 or more"),
    ("sweep = Sweep(arms={'a b': {'beta': [1, 2]}})", "{}: arms a b: beta='[1, 2]': must be one value, not a list"),
    ("sweep = Sweep(arms={'a': {'tags': 'x'}})", "{}: arms a: tags: makes no other run, so it can not vary"),
    ("sweep = Sweep(arms={'a': {'seed': 1}})", "{}: arms a: seed: seeds are another axis"),
    ("sweep = Sweep(arms={'a': {}, 'b': {'beta': 1}}, grid={'beta': [1]})", "{}: arms b: beta: the grid varies it, too"),
    ("sweep = Sweep(arms={'a': {'seed': 1}}, seeds=[1])", "{}: arms a: seed: the grid varies it, too"),
    ("\n\nraise KeyError('beta')", "{}:6: KeyError: 'beta'"),
    ("def f():\n    return 1 / 0\n\nf()", "{}:5: ZeroDivisionError: division by zero"),
    ("import sys\nsys.exit('no\\nmore')", "{}:5: SystemExit: no more"),
    ("sweep = Sweep(bass=1)", "{}:4: TypeError: Sweep.__init__() got an unexpected keyword argument 'bass'"),
    ("import nothing_like_it", "{}:4: ModuleNotFoundError: No module named 'nothing_like_it'"),
    ("sweep = Sweep(", "{}:4: SyntaxError: "),
    ("sweep = Sweep(base=3)", "{}: a Sweep takes an Experiment as its base and a mapping as its grid"),
    ("sweep = Sweep(Experiment(max_steps='60'))", "{}:4: max_steps='60': must be a whole number"),
    ("sweep = Sweep(grid={'seed': [1, -1]})", "{}: in grid: seed=-1: must be 0 or more"),
    ("sweep = Sweep(grid=[1])", "{}: a Sweep takes an Experiment as its base and a mapping as its grid"),
    ("sweep = Sweep(grid={'bta': [1]})", "{}: grid bta=1: no such setting (did you mean beta?)"),
    ("sweep = Sweep(grid={'beta': 1})", "{}: grid beta: must be a list of values, not 1"),
    ("sweep = Sweep(grid={'beta': '12'})", "{}: grid beta: must be a list of values, not '12'"),
    ("sweep = Sweep(grid={'beta': []})", "{}: grid beta: must be a list of values, not []"),
    ("sweep = Sweep(grid={'beta': ['x']})", "{}: in grid: beta=x: must be a number"),
    ("sweep = Sweep(grid={'beta': [[1]]})", "{}: in grid: beta='[1]': must be one value, not a list"),
    (
        "sweep = Sweep(grid={'seed': [True]})",
        "{}: in grid: seed='True': must not be true or false; words like on, off, yes and no",
    ),
    ("sweep = Sweep(grid={'seed': [1, 1]})", "{}: grid seed: 1 stands there twice"),
    ("sweep = Sweep(grid={'seed': [1]}, seeds=[2])", "{}: seeds: seed is in the grid, too"),
    (
        "sweep = Sweep(baselines=['none'])",
        "{}: baselines: none: accepted are unrouted, unrouted_other_rule, routed_other_rule, lora, filter, reward_penalty, "
        "unhackable",
    ),
]


@pytest.mark.parametrize(("body", "message"), FAULTY)
def test_what_is_wrong_with_a_file_is_one_line(sweep_file, body: str, message: str):
    path = sweep_file(body)
    with pytest.raises(UserError) as caught:
        load_sweep(path)
    said = str(caught.value)
    assert "\n" not in said
    assert said.startswith(message.format(path))


def test_settings_are_replaced_by_dotted_name():
    assert with_setting(Experiment(), "labels.noise", 0.5) == Experiment(labels=LabelSettings(noise=0.5))
    assert with_setting(Experiment(), "seed", 5) == Experiment(seed=5)
