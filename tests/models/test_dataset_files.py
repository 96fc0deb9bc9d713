"""Rows of each format against what was written, by literal names; what is wrong is one line that names file and line."""

import gzip
import json
from itertools import islice
from pathlib import Path

import datasets
import pandas
import pytest

from configs.errors import UserError
from models.texts import load_texts

STORIES = ["One day .", 'A "quoted"\nbreak, \u00fcmlaut', "", "NA"]
HOSTILE = [
    "a[bc]",
    "a*",
    "a?c",
    "{ab}",
    "100%20",
    "a b",
    "h\u00e4\u65e5",
    "#1",
    "c:d",
    "simplecache::x",
    "file:",
    'it\'s "q"',
    "~a",
    "$HOME",
]


def lines(stories: list[str]) -> str:
    return "".join(json.dumps({"story": story, "n": n}) + "\n" for n, story in enumerate(stories))


def array(stories: list[str]) -> str:
    return "\ufeff\n" + json.dumps([{"n": n, "story": story} for n, story in enumerate(stories)], indent=1)


def table(stories: list[str]) -> pandas.DataFrame:
    return pandas.DataFrame({"n": range(len(stories)), "story": stories})


FORMATS = {
    "train.jsonl": lines,
    "train.json": lines,
    "train-array.json": array,
    "train.csv": lambda stories: "\ufeff" + table(stories).to_csv(index=False),
    "train.txt": lambda stories: "\n \n" + "\n \r\n\n".join(story for story in stories if story) + "\n",
}


def texts(folder: Path, split: str = "train", column: str = "story") -> list[str]:
    return [*load_texts(str(folder), column)(split)]


def error_of(folder: Path, split: str = "train", column: str = "story") -> str:
    with pytest.raises(UserError) as caught:
        texts(folder, split, column)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def write(file: Path, content: str | bytes) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    raw = content.encode() if isinstance(content, str) else content
    file.write_bytes(gzip.compress(raw) if file.suffix == ".gz" else raw)


@pytest.mark.parametrize("ending", ["", ".gz"])
@pytest.mark.parametrize("name", FORMATS)
def test_each_format_gives_its_texts_as_they_were(tmp_path, name, ending):
    write(tmp_path / f"{name}{ending}", FORMATS[name](STORIES))
    assert texts(tmp_path) == [story for story in STORIES if story or not name.endswith("txt")]


def test_parquet_is_read_across_row_groups_and_by_its_one_column(tmp_path):
    stories = [f"story {n}" for n in range(2_500)]
    table(stories).to_parquet(tmp_path / "train.parquet", row_group_size=700)
    assert texts(tmp_path) == stories
    assert error_of(tmp_path, column="x.y") == f"--text_column x.y: {tmp_path}/train.parquet row 1 has the columns n, story"
    assert error_of(tmp_path, column="n").endswith("train.parquet row 1 holds int there, not text")


@pytest.mark.parametrize("column", ["story", "text"])
def test_the_lines_of_a_block_stay_lines(tmp_path, column):
    write(tmp_path / "train.txt", "One\n  two .\n\n\nThree\r\nfour .")
    assert texts(tmp_path, column=column) == ["One\n  two .", "Three\nfour ."]


def test_another_column_of_plain_text_is_refused(tmp_path):
    write(tmp_path / "train.txt", "\nOne")
    assert error_of(tmp_path, column="tale") == f"--text_column tale: {tmp_path}/train.txt line 2 has the columns story, text"


# Folders


def test_a_folder_as_the_hub_has_it(tmp_path):
    (tmp_path / "data").mkdir()
    for number, story in enumerate(["b", "a"]):
        table([story]).to_parquet(tmp_path / "data" / f"train-0000{number}-of-00002.parquet")
    table(["c"]).to_parquet(tmp_path / "data" / "test-00000-of-00001.parquet")
    table(["d"]).to_parquet(tmp_path / "data" / "test2-00000-of-00001.parquet")  # another split
    write(tmp_path / "README.md", "---\n")
    assert (texts(tmp_path), texts(tmp_path, "test"), texts(tmp_path, "test2")) == (["b", "a"], ["c"], ["d"])


def test_a_folder_that_save_to_disk_wrote(tmp_path):
    train = datasets.Dataset.from_dict({"story": [f"story {n}" for n in range(5)], "n": range(5)})
    held_out = datasets.Dataset.from_dict({"story": ["x", "y", "z"]}).select([2, 0])
    datasets.DatasetDict({"train": train, "test": held_out}).save_to_disk(tmp_path / "[s]", num_shards={"train": 2, "test": 1})
    assert texts(tmp_path / "[s]") == [f"story {n}" for n in range(5)]
    assert texts(tmp_path / "[s]", "test") == ["z", "x"]
    assert "train/data-00000-of-00002.arrow row 1 has the columns story, n" in error_of(tmp_path / "[s]", column="tale")
    train.save_to_disk(tmp_path / "one")
    assert "one: is one split of save_to_disk" in error_of(tmp_path / "one")


def test_other_files_beside_the_data_are_not_read(tmp_path):
    for name in ("train.jsonl", "train-2.jsonl", "train_10.jsonl", "train2.jsonl"):
        write(tmp_path / name, lines([name]))
    for name in (
        "dataset_info.json",
        "state.json",
        "trainer_state.json",
        "train.py",
        "training.json",
        ".train.jsonl",
        "notes.txt",
    ):
        write(tmp_path / name, "{")
    (tmp_path / "train.d").mkdir()
    assert texts(tmp_path) == ["train-2.jsonl", "train.jsonl", "train2.jsonl", "train_10.jsonl"]  # sorted by name


UNCLEAR = {
    ("train.jsonl", "train.csv"): "train files of several formats: train.csv, train.jsonl",
    ("train-0.jsonl", "train-1.jsonl", "train.jsonl.gz"): "train files of several formats: train-0.jsonl, train.jsonl.gz",
    ("train.jsonl", "data/train.jsonl"): "train files lie in two places: train.jsonl, data/train.jsonl",
    ("data/train.jsonl", "train/state.json"): "train files lie in two places: data/train.jsonl, train/state.json",
    ("train-0.jsonl", "train-1.jsonl.zst"): "train-1.jsonl.zst is not of .jsonl, .json, .csv, .txt",
    ("train/state.json",): "train/state.json: cannot be read: not what save_to_disk writes",
    ("validation.jsonl", "test_easy-0.csv"): "holds no train split; it has the splits test_easy, validation",
    ("README.md", "dataset_info.json", "trainer.py"): "holds no train split; it has no splits",
}


@pytest.mark.parametrize("names", UNCLEAR, ids=lambda names: names[0])
def test_a_split_that_is_not_clear_is_refused(tmp_path, names):
    for name in names:
        write(tmp_path / name, lines(["a"]))
    assert error_of(tmp_path).startswith(f"--dataset {tmp_path}: {UNCLEAR[names]}")


def test_a_missing_evaluation_split_offers_those_there_are(tmp_path):
    for name in ("train.jsonl", "validation.jsonl"):
        write(tmp_path / name, lines(["a"]))
    assert error_of(tmp_path, "test") == (
        f"--eval_split test: {tmp_path} has the splits train, validation; name the one for evaluation prompts"
    )
    assert texts(tmp_path, "validation") == ["a"]


# Literal names


@pytest.mark.parametrize("name", HOSTILE)
def test_names_are_literal(tmp_path, name):
    """Beside it lie folders that a pattern would have meant."""
    for other in ("ab", "ac", "a", "abc", "x", "100 "):
        write(tmp_path / other / "train.jsonl", lines(["the wrong one"]))
    write(tmp_path / name / "train.jsonl", lines(["a"]))
    write(tmp_path / name / "test[1].csv", "story\nb\n")
    table(["c"]).to_parquet(tmp_path / name / "validation.parquet")
    datasets.Dataset.from_dict({"story": ["d"]}).save_to_disk(tmp_path / "saved")
    (tmp_path / "saved").rename(tmp_path / name / "dev")
    read = [texts(tmp_path / name, split) for split in ("train", "test", "validation", "dev")]
    assert read == [["a"], ["b"], ["c"], ["d"]]


# Damage

GOOD = '{"story": "a"}\n'
DAMAGE: dict[str, tuple[str, str | bytes, str]] = {
    "jsonl": ("train.jsonl", f'{GOOD}\n{{"story": oh}}\n', "train.jsonl line 3: not JSON: Expecting value at column 11"),
    "cut short": ("train.jsonl.gz", f'{GOOD}{{"story": "b', "train.jsonl.gz line 2: not JSON: Unterminated string"),
    "no object": ("train.jsonl", f"{GOOD}3\n", "train.jsonl line 2: is int, not an object with columns"),
    "array": ("train.json", '[{"story": "a"},\n{"story": oh}]', "train.json line 2: not JSON: Expecting value at column 11"),
    "deep": ("train.json", "[" * 100_000, "train.json line 1: is nested too deeply"),
    "latin-1": ("train.jsonl", GOOD.encode() + b'{"story": "\xe4"}\n', "train.jsonl line 2: not UTF-8"),
    "latin-1 array": ("train.json", b'[{"story":\n "\xe4"}]', "train.json line 2: not UTF-8"),
    "latin-1 text": ("train.txt", b"a\n\n\xe4\n", "train.txt line 3: not UTF-8"),
    "latin-1 csv": ("train.csv", b"story,n\n\xe4,1\n", "train.csv line 2: not UTF-8"),
    "fields": ("train.csv", 'story,n\n"a\nb",1\nc\n', "train.csv line 4: has 1 fields, the header 2"),
    "open quote": ("train.csv", 'story,n\na,1\n"b,2\n', "train.csv line 3: not CSV: unexpected end of data"),
    "two columns": ("train.csv", "story,n,story\n", "train.csv line 1: several columns are named story"),
    "separator": ("train.txt", "a\n\nb\n<|endoftext|>\nc\n", "train.txt line 4: is <|endoftext|>, where texts are separated by"),
    "no parquet": ("train.parquet", GOOD, "train.parquet: cannot be read: Parquet magic bytes not found"),
    "empty": ("train-1.jsonl", "", "train-1.jsonl is empty"),
}


@pytest.mark.parametrize(("name", "content", "message"), DAMAGE.values(), ids=DAMAGE)
def test_damage_is_one_line_that_names_file_and_line(tmp_path, name, content, message):
    write(tmp_path / name, content)
    assert error_of(tmp_path).startswith(f"--dataset {tmp_path}: {message}")


@pytest.mark.parametrize("kept", [20, 60])
def test_a_compressed_file_that_is_cut_short_is_named(tmp_path, kept):
    write(tmp_path / "train.jsonl.gz", lines([str(n) for n in range(99)]))
    whole = (tmp_path / "train.jsonl.gz").read_bytes()
    (tmp_path / "train.jsonl.gz").write_bytes(whole[:kept])
    assert error_of(tmp_path).startswith(f"--dataset {tmp_path}: train.jsonl.gz: cannot be read: Compressed file ended before")
    (tmp_path / "train.jsonl.gz").write_bytes(whole[:kept] + bytes(50) + whole[kept + 50 :])
    assert error_of(tmp_path).startswith(f"--dataset {tmp_path}: train.jsonl.gz")
    (tmp_path / "train.jsonl.gz").write_bytes(b"plain")
    assert "train.jsonl.gz: cannot be read: Not a gzipped file" in error_of(tmp_path)


def test_a_saved_file_that_is_gone_is_named(tmp_path):
    datasets.DatasetDict({"train": datasets.Dataset.from_dict({"story": ["a"]})}).save_to_disk(tmp_path / "s")
    (tmp_path / "s" / "train" / "data-00000-of-00001.arrow").unlink()
    assert error_of(tmp_path / "s").endswith("s: train/data-00000-of-00001.arrow: cannot be read: No such file or directory")


COLUMNS = {
    "missing": ('{"tale": "a"}', "has the columns tale"),
    "null": ('{"story": null}', "holds NoneType there, not text"),
    "number": ('{"story": 3}', "holds int there, not text"),
    "surrogate": ('{"story": "\\ud800"}', "holds half of a surrogate pair there, which is no character"),
}


@pytest.mark.parametrize(("row", "message"), COLUMNS.values(), ids=COLUMNS)
def test_a_row_without_text_is_named(tmp_path, row, message):
    write(tmp_path / "train.jsonl", f"{GOOD}{row}\n")
    assert error_of(tmp_path) == f"--text_column story: {tmp_path}/train.jsonl line 2 {message}"


def test_no_more_is_read_than_is_needed(tmp_path):
    for name in ("train.jsonl", "test.csv", "dev.txt"):
        write(tmp_path / name, ("story\n" if name == "test.csv" else "").encode() + f"{GOOD}\n".encode() * 3 + b"\xe4{\n")
    for split in ("train", "test", "dev"):
        assert len([*islice(load_texts(str(tmp_path), "story")(split), 3)]) == 3


def test_a_text_of_any_length_is_read_from_csv(tmp_path):
    table(["a" * 300_000]).to_csv(tmp_path / "train.csv", index=False)
    assert texts(tmp_path) == ["a" * 300_000]
