"""Arms, which are settings that go together under a name, and several sweeps in one file."""

from pathlib import Path

import pytest
import yaml

from configs.errors import UserError
from configs.sweep import Series, Sweep, checked, load_file, load_sweep, series_of_files
from tests.configs.asked import IMPORTS, differing, read, refusal

# Arms


def test_arms_are_read_as_the_command_line_is():
    asked = Sweep(
        grid={"lr": [1]}, arms={"first": {"beta": 1}, "second one": {"routing.enabled": True, "lora_rank": None}}, seeds=[3]
    )
    sweep = checked(asked)
    assert sweep.arms == {"first": {"beta": 1.0}, "second one": {"routing.enabled": True, "lora_rank": None}}
    assert type(sweep.arms["first"]["beta"]) is float
    assert sweep.axes == {"arm": ("first", "second one"), "lr": (1.0,), "seed": (3,)}
    assert next(iter(sweep.axes)) == "arm"
    assert checked(Sweep(grid={"lr": [1]})).axes == {"lr": (1.0,)}


def test_a_yaml_file_may_hold_arms_beside_the_grid(tmp_path: Path, sweep_file):
    yaml_file = tmp_path / "arms.yaml"
    reward = {"components": [{"name": "happy_exp", "role": "retain"}], "cap": 1.0}
    arms = {"classic": {"routing.enabled": True, "beta": 0.1}, "of a, b": {"reward": reward, "lr": None}}
    nested = {"classic": {"routing": {"enabled": True}, "beta": 0.1}, "of a, b": arms["of a, b"]}
    for given in (arms, nested):
        yaml_file.write_text(yaml.safe_dump({"max_steps": 9, "grid": {"seed": "1..2"}, "arms": given}))
        sweep = read("--config", str(yaml_file))[1]
        assert (sweep.arms, sweep.grid) == (arms, {"seed": (1, 2)})
        assert differing(sweep.base) == {"max_steps": 9}
    assert read("--config", str(yaml_file), "--grid", "max_steps=1,2")[1].axes["arm"] == (*arms,)
    assert refusal("--config", str(yaml_file), "--grid", "beta=1") == "arms classic: beta: the grid varies it, too"
    path = sweep_file("sweep = Sweep(arms={'a': {'beta': 1}})")
    assert refusal("--config", str(yaml_file), str(path)) == f"arms: {path} has arms, too"
    assert refusal(str(path), "--grid", "beta=1") == "arms a: beta: the grid varies it, too"
    yaml_file.write_text("arms: {classic: {beta: x}}")
    assert refusal("--config", str(yaml_file)) == "arms classic: --beta x: must be a number"
    yaml_file.write_text("arms: [classic]")
    assert refusal("--config", str(yaml_file)) == "arms: must be a mapping of names to settings, not ['classic']"


def test_what_the_command_line_fixes_is_told_apart_from_what_a_file_says(tmp_path: Path):
    (tmp_path / "base.yaml").write_text("{beta: 0.1, arms: {a: {beta: 1}}}")
    sweep = read("--config", str(tmp_path / "base.yaml"), "--lr", "1", "--fixed", "max_steps=9", "--grid", "seed=1,2")[1]
    assert sweep.fixed == {"lr", "max_steps"}
    assert sweep.named == {"beta", "lr", "max_steps", "seed"}


# Series


def test_a_file_may_build_a_series(sweep_file):
    path = sweep_file(
        "first = Sweep(seeds=[1, 2])\nsecond = Sweep(arms={'a': {'beta': 1}})\nboth = Series({'x': first, 'y': second})\n"
    )
    built = load_file(path)
    assert isinstance(built, Series)
    assert {name: sweep.axes for name, sweep in built.sweeps.items()} == {"x": {"seed": (1, 2)}, "y": {"arm": ("a",)}}
    with pytest.raises(UserError, match=r"my_sweep\.py: builds a Series, not a Sweep"):
        load_sweep(path)


def test_a_series_of_the_files_beside_it(tmp_path: Path):
    for name, steps in {"one": 5, "two": 6}.items():
        (tmp_path / f"{name}.py").write_text(f"{IMPORTS}mine = Sweep(Experiment(max_steps={steps}), seeds=[1])")
    series = series_of_files(tmp_path, ["two", "one"])
    assert [(name, sweep.base.max_steps) for name, sweep in series.sweeps.items()] == [("two", 6), ("one", 5)]
    text = (
        "from pathlib import Path\nfrom configs.sweep import series_of_files\nall = series_of_files(Path(__file__).parent, NAMES)"
    )
    (tmp_path / "all.py").write_text(text.replace("NAMES", "['one', 'three']"))
    with pytest.raises(UserError) as caught:
        load_file(tmp_path / "all.py")
    assert str(caught.value) == f"{tmp_path}/all.py:3: {tmp_path}/three.py: no such file"


TWO = """
first = Sweep(Experiment(max_steps=9, name="own"), seeds=[1, 2, 3])
second = Sweep(Experiment(lr=1.0), grid={"beta": [0, 1]}, arms={"short": {"max_steps": 2}, "long": {}})
series = Series({"x": first, "y": second})
"""


def series_of(*words: str) -> dict[str, Sweep]:
    series = read(*words)[1]
    assert isinstance(series, Series)
    return {**series.sweeps}


def test_options_apply_to_each_sweep_of_a_series(sweep_file):
    path = sweep_file(TWO)
    sweeps = series_of(str(path), "--fixed", "batch_size=16", "--lr", "2")
    assert {name: (sweep.base.name, sweep.base.output_dir) for name, sweep in sweeps.items()} == {
        name: (name, Path("output/my_sweep")) for name in ("x", "y")
    }
    assert {name: (sweep.base.max_steps, sweep.base.batch_size, sweep.base.lr) for name, sweep in sweeps.items()} == {
        "x": (9, 16, 2.0),
        "y": (2000, 16, 2.0),
    }
    named = series_of(str(path), "--name", "mine", "--output_dir", "here")
    assert {sweep.base.output_dir for sweep in named.values()} == {Path("here/mine")}
    assert named["y"].base.lr == 1.0


def test_a_small_sweep_of_a_series_is_run_whole(sweep_file):
    path = sweep_file(TWO)  # three points and four
    sampled = [series_of(str(path), "--sample", str(count), "--sample_seed", "5") for count in (2, 3, 4)]
    samples = [[(sweep.sample, sweep.sample_seed) for sweep in sweeps.values()] for sweeps in sampled]
    assert samples == [[(2, 5), (2, 5)], [(None, None), (3, 5)], [(None, None), (None, None)]]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("--grid lr=1", "--grid: not over a series, whose sweeps vary what they are about; run the file of one of them"),
        ("--seed 5", "x: --seed 5: its file varies it"),
        ("--fixed beta=1", "y: --fixed beta=1.0: its file varies it"),
        ("--sample_seed 1", "x: --sample_seed 1: has no effect without --sample"),
        ("--name a/b", "--name a/b: must be part of a folder's name: "),
        ("--overwrite", "x: --overwrite: not in a sweep"),
    ],
)
def test_what_is_wrong_with_options_over_a_series(sweep_file, words: str, message: str):
    with pytest.raises(UserError) as caught:
        read(str(sweep_file(TWO)), *words.split())
    assert caught.value.of_options.startswith(message)


def test_yaml_has_no_arms_for_a_series(sweep_file, tmp_path: Path):
    (tmp_path / "arms.yaml").write_text("arms: {a: {beta: 1}}")
    assert refusal(str(sweep_file(TWO)), "--config", str(tmp_path / "arms.yaml")).startswith("arms: not over a series, ")
