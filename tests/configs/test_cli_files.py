"""YAML files of settings, beside the command line: what wins, what is refused and in which words."""

from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from configs.errors import UserError
from configs.experiment import AdapterSettings, EnvironmentSettings, Experiment, RoutingSettings, SamplingSettings
from configs.naming import spelt_out, to_dict
from configs.resolve import OfReward, flatten, resolve
from tests.configs.asked import differing
from tests.configs.launching import OF_REWARD, launch, launch_with_effect, refusal, resolved

# YAML files


@pytest.fixture
def file(tmp_path: Path):
    def write(content: str | bytes) -> Path:
        path = tmp_path / "settings.yaml"
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return path

    return write


SETTINGS = """
reward: happy_exp
max_steps: 5
lr: 3e-4
beta: 1.0e-3
log_all_samples: true
tags: [pilot, "two words"]
notes: "what: for"
overwrite: false
output_dir: here/and/there
env: {prompt-length: 4, detector: "happy_at_least(threshold=2)"}
routing: {enabled: true, mode: exclusive}
adapter:
  retain_rank: 2
"""


FROM_FILE = {
    "reward": "happy_exp",
    "max_steps": 5,
    "lr": 3e-4,
    "beta": 1e-3,
    "log_all_samples": True,
    "tags": ("pilot", "two words"),
    "notes": "what: for",
    "output_dir": Path("here/and/there"),
    "env.prompt_length": 4,
    "env.detector": "happy_at_least(threshold=2)",
    "routing.enabled": True,
    "routing.mode": "exclusive",
    "adapter.retain_rank": 2,
}


def test_yaml_sets_any_part(file):
    assert differing(launch("--config", str(file(SETTINGS)))) == FROM_FILE


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("--max_steps 6", {"max_steps": 6}),
        ("--max-steps=6", {"max_steps": 6}),
        ("--beta 0.02", {"beta": 0.02}),
        ("--lr None", {"lr": None}),
        ("--reward happy_binary", {"reward": "happy_binary"}),
        ("--reward {name: happy_count}", {"reward": {"name": "happy_count"}}),
        ("--no-log_all_samples", {"log_all_samples": False}),
        ("--routing.no-enabled", {"routing.enabled": False}),
        ("--env.prompt_length 5", {"env.prompt_length": 5}),
        ("--seed 7", {"seed": 7}),
        ("--tags other", {"tags": ("other",)}),
    ],
)
def test_the_command_line_wins(file, words: str, expected: dict):
    asked = launch("--config", str(file(SETTINGS)), *words.split(" ", 1))
    assert flatten(asked) == flatten(Experiment()) | FROM_FILE | expected


def test_the_command_line_wins_wherever_the_file_stands(file):
    assert launch("--seed=7", "--max_steps", "6", f"--config={file(SETTINGS)}") == launch(
        "--config", str(file(SETTINGS)), "--max_steps", "6", "--seed", "7"
    )


def test_the_last_of_two_files_counts_alone(file, tmp_path: Path):
    other = tmp_path / "other.yaml"
    other.write_text("seed: 3")
    assert differing(launch("--config", str(file(SETTINGS)), "--config", str(other))) == {"seed": 3}


@pytest.mark.parametrize(
    "reward",
    [
        {"name": "happy_count", "params": {"cap": 5}},
        {"components": [{"name": "happy_binary", "scale": 1.0}, {"name": "x", "params": {"a": [1, 2]}}], "cap": 1},
        {"name": "it's \"quoted\": {a}, [b] # c", "params": {"long words": "word " * 60, "none": None, "yes": "no"}},
    ],
)  # fmt: skip
def test_yaml_reward_mappings_arrive_whole(file, reward: dict):
    for flow in (True, False):
        found = launch("--config", str(file(yaml.safe_dump({"reward": reward}, default_flow_style=flow)))).reward
        assert found == reward


@pytest.mark.parametrize(
    "content", ["{}", "lr: null", "lr:", "env: {detector: null}", "adapter: {kind: null, preset: }", "lr: None"]
)
def test_null_is_the_default_where_it_is_a_value(file, content: str):
    assert launch("--config", str(file(content))) == Experiment()


UNREADABLE = [
    ("a: b: c", "cannot be read: mapping values are not allowed here"),
    ("a: [1", "cannot be read: while parsing a flow sequence"),
    ("\ta: 1", "cannot be read: while scanning for the next token"),
    ("model: !!python/object/apply:os.getcwd []", "cannot be read: could not determine a constructor"),
    ("beta: 1\nbeta: 2", "cannot be read: beta is given twice"),
    ("routing: {enabled: true, enabled: false}", "cannot be read: enabled is given twice"),
    ("env: &a {name: *a}", "cannot be read: the alias *a is not accepted"),
    ("seed: 2001-99-99", "cannot be read: month must be in 1..12"),
    (b"\xff\xfe\x00", "cannot be read: 'utf-8' codec can't decode byte 0xff"),
    (b"\x00\x01\x02", "cannot be read: unacceptable character"),
    ("- max_steps: 5", "must be a mapping of settings, not list"),
    ("max_steps", "must be a mapping of settings, not str"),
    ("5", "must be a mapping of settings, not int"),
    ("", "must be a mapping of settings, not NoneType"),
    ("# max_steps: 5", "must be a mapping of settings, not NoneType"),
]


@pytest.mark.parametrize(("content", "message"), UNREADABLE)
def test_files_that_are_no_settings(file, content: str | bytes, message: str):
    path = file(content)
    assert refusal("--config", str(path)).startswith(f"--config {path}: {message}")


MISTAKES = [
    ("maxx_steps: 5", "--maxx_steps: no such option (did you mean --max_steps?); --help lists them"),
    ("foo: bar", "--foo: no such option; --help lists them"),
    ("foo: [1, 2]", "--foo: no such option; --help lists them"),
    ("foo: {}", "--foo: no such option; --help lists them"),
    ("foo: true", "--foo: no such option; --help lists them"),
    ("foo: null", "--foo: no such option; --help lists them"),
    ("env: {prompt: 5}", "--env.prompt: no such option (did you mean --env.num_prompts?); --help lists them"),
    (
        "routing: {reward: {name: x}}",
        "--routing.reward.name: no such option (did you mean --routing.enabled?); --help lists them",
    ),
    ("env: 3", "--env: no such option (did you mean --env.bos?); --help lists them"),
    ("5: 6", "--5: no such option; --help lists them"),
    ("config: other.yaml", "--config: has no place in a file of settings"),
    ("help: true", "--help: has no place in a file of settings"),
    ("max_steps: null", "--max_steps null: must have a value"),
    ("model: null", "--model null: must have a value"),
    ("reward:", "--reward null: must have a value"),
    ("output_dir:", "--output_dir null: must have a value"),
    ("wandb: {project: null}", "--wandb.project null: must have a value"),
    ("overwrite: null", "--overwrite None: must be true or false"),
    ("routing: {enabled: 1}", "--routing.enabled 1: must be true or false"),
    ('routing: {enabled: "yes"}', "--routing.enabled yes: must be true or false"),
    ("overwrite: [true]", "--overwrite [true]: must be true or false"),
    ("wandb: {mode: off}", "--wandb.mode False: must not be true or false; words like on, off, yes and no need quotes"),
    ("max_steps: true", "--max_steps True: must not be true or false; words like on, off, yes and no need quotes"),
    ("max_steps: [1, 2]", "--max_steps [1, 2]: must be one value, not a list"),
    ("model: [nursery]", "--model [nursery]: must be one value, not a list"),
    ("reward: [happy_binary]", "--reward [happy_binary]: must be one value, not a list"),
    ("adapter: {kind: [lora]}", "--adapter.kind [lora]: must be one value, not a list"),
    ("model: {name: nursery}", "--model {name: nursery}: must be one value, not a mapping"),
    ("lr: {}", "--lr {}: must be one value, not a mapping"),
    ("tags: [[a]]", "--tags [['a']]: must be a text, or a list of texts"),
    ("tags: {a: b}", "--tags {'a': 'b'}: must be a text, or a list of texts"),
    ("tags: [a, '']", "--tags : must be a list of texts of at most 64 characters, without commas"),
    ("max_steps: many", "--max_steps many: must be a whole number"),
    ("max_steps: 1.5", "--max_steps 1.5: must be a whole number"),
    ("lr: high", "--lr high: must be a number"),
    ("adapter: {kind: dora}", "--adapter.kind dora: accepted are dual_lora, lora, none"),
]


@pytest.mark.parametrize(("content", "message"), MISTAKES)
def test_mistakes_in_a_file_name_the_file_and_the_setting(file, content: str, message: str):
    path = file(content)
    assert refusal("--config", str(path)) == f"in {path}: {message}"
    assert refusal("--max_steps", "3", "--config", str(path), "--lr", "1") == f"in {path}: {message}"


def test_a_mistake_on_the_command_line_is_not_blamed_on_the_file(file):
    assert refusal("--config", str(file(SETTINGS)), "--seed", "x") == "--seed x: must be a whole number"


@pytest.mark.parametrize(
    "model", ["off", "3", "null", "-h", "--help", "--seed", "a b", "a=b", "{a", "1e3", "ä", "x\ny", "", "~", "'\""]
)
def test_texts_arrive_as_they_are_written(file, model: str):
    assert launch("--config", str(file(yaml.safe_dump({"model": model, "env": {"detector": f"{model}()"}})))) == Experiment(
        model=model, env=EnvironmentSettings(detector=f"{model}()")
    )


@pytest.mark.parametrize(
    "asked",
    [
        Experiment(),
        Experiment(lr=1.5e-7, beta=0.1 + 0.2, seed=2**70, output_dir=Path("/a b/c")),
        Experiment(reward={"components": [{"name": "x", "scale": 1e-5}], "cap": 1}, routing=RoutingSettings(enabled=True)),
        Experiment(adapter=AdapterSettings(kind="lora", preset="r1h"), sampling=SamplingSettings(max_completion_length=3)),
        Experiment(name="pilot", tags=("a b", "--c"), notes="two\nlines"),
        Experiment(overwrite=True, log_all_samples=True, model="no", dataset="12"),
        Experiment(env=EnvironmentSettings(detector="f(words=['a: b', \"c\"])")),
    ],
)  # fmt: skip
def test_a_run_s_config_file_starts_the_same_experiment_again(file, asked: Experiment):
    again = launch_with_effect("--config", str(file(yaml.safe_dump(to_dict(resolved(asked)), sort_keys=False))))
    assert resolved(again) == resolved(asked)


# Options without effect


@pytest.mark.parametrize(
    ("content", "message", "words"),
    [
        ("routing: {mode: classic}", "--routing.mode classic: has no effect without --routing.enabled", "--routing.enabled"),
        ("adapter: {rank: 8}", "--adapter.rank 8: has no effect with --adapter.kind none", "--adapter.kind lora"),
        (
            "labels: {noise: 0}",
            "--labels.noise 0.0: has no effect in full fine-tuning without --baseline; labels are for adapters",
            "--baseline filter",
        ),
    ],
)
def test_a_file_that_names_an_option_without_effect_is_refused_whatever_the_value(file, content: str, message: str, words: str):
    path = str(file(content))
    with pytest.raises(UserError) as caught:
        launch_with_effect("--config", path)
    assert str(caught.value) == message
    launch_with_effect("--config", path, *words.split())


def test_a_record_names_all_settings_and_nobody_asked_for_each_of_them(file):
    record = to_dict(resolved(Experiment()))
    assert launch_with_effect("--config", str(file(yaml.safe_dump(record)))) == replace(
        Experiment(),
        lr=1e-5,
        device="cpu",
        adapter=AdapterSettings(kind="none"),
        env=EnvironmentSettings(detector=OF_REWARD.detector),
    )
    record["routing"]["mode"] = "exclusive"  # edited: that is asked for
    with pytest.raises(UserError, match=r"--routing\.mode exclusive: has no effect without --routing\.enabled"):
        resolved(launch_with_effect("--config", str(file(yaml.safe_dump(record)))))


def test_a_record_of_earlier_spelling_is_read(file):
    asked = Experiment(routing=RoutingSettings(enabled=True), reward={"components": [], "hack": "happy_at_least"})
    record = to_dict(resolve(asked, cuda_available=False, of_reward=OfReward("happy_at_least(threshold=3)", "forget")))
    now = launch("--config", str(file(yaml.safe_dump(record))))
    record["env"]["detector"], record["reward"]["hack"] = "happy_count(threshold=3)", "happy_count"
    record["routing"]["advantages"] = "retain_only"
    del record["advantages"], record["reward_penalty_on"], record["eval"]["seed"]
    assert launch("--config", str(file(yaml.safe_dump(record)))) == replace(now, eval=replace(now.eval, seed="run"))


@pytest.mark.parametrize(
    ("words", "rule", "penalty_on"),
    [
        ("--adapter.kind=dual_lora", "group", "forget"),
        ("--adapter.kind=dual_lora --baseline=filter", "good_only", "forget"),
        ("--adapter.kind=dual_lora --baseline=reward_penalty", "group", "all"),
        ("--routing.enabled --advantages=balanced", "balanced", "forget"),
    ],
)
def test_what_an_earlier_record_lacks_is_what_was_done_then(file, words: str, rule: str, penalty_on: str):
    record = to_dict(resolved(launch(*words.split())))
    record["routing"]["advantages"] = rule if "routing.enabled" in words else "retain_only"
    del record["advantages"], record["reward_penalty_on"], record["eval"]["seed"]
    read = resolved(launch("--config", str(file(yaml.safe_dump(record)))))
    assert (read.advantages, read.eval.seed) == (rule, "run")
    assert spelt_out(read)["reward_penalty_on"] == penalty_on


def test_what_somebody_writes_has_today_s_spelling(file):
    message = "--advantages retain_only: accepted are balanced, good_only, group"
    assert refusal("--routing.enabled", "--advantages", "retain_only") == message
    path = file("{routing: {enabled: true}, advantages: retain_only}")
    assert refusal("--config", str(path)) == f"in {path}: {message}"


SHIPPED = sorted((Path(__file__).parents[2] / "configs").glob("*.yaml"))


@pytest.mark.parametrize("path", SHIPPED, ids=[path.name for path in SHIPPED])
def test_the_files_in_configs_are_experiments(path: Path):
    assert resolved(launch("--config", str(path))) != resolved(Experiment())


def test_the_real_model_is_one_of_them():
    assert launch("--config", str(next(path for path in SHIPPED if path.stem == "simplestories"))).model == (
        "SimpleStories/SimpleStories-1.25M"
    )
