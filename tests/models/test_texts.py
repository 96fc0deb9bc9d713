"""Texts come split by split and in order; a dataset that does not do is one line to the user."""

import json

import pytest

from configs.errors import UserError
from models.texts import load_texts

TRAIN = [{"story": "One day .", "number": 1}, {"story": "Line\nbreak, \u00fcmlaut", "number": 2}, {"story": "", "number": 3}]
TEST = [{"story": "Another day .", "number": 4}]


@pytest.fixture
def stories(tmp_path):
    """A dataset folder; the training split lies in two files."""
    (tmp_path / "stories").mkdir()
    for name, rows in {"train-0": TRAIN[:2], "train-1": TRAIN[2:], "test": TEST}.items():
        (tmp_path / "stories" / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return tmp_path / "stories"


@pytest.mark.parametrize(("split", "rows"), [("train", TRAIN), ("test", TEST)])
def test_texts_of_a_local_folder_come_split_by_split_in_order(stories, split, rows):
    assert list(load_texts(str(stories), "story")(split)) == [row["story"] for row in rows]


@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_texts_may_be_csv_or_parquet(tmp_path, kind):
    import pandas

    frame = pandas.DataFrame(TRAIN[:2])
    {"csv": lambda path: frame.to_csv(path, index=False), "parquet": frame.to_parquet}[kind](tmp_path / f"train.{kind}")
    assert list(load_texts(str(tmp_path), "story")("train")) == [row["story"] for row in TRAIN[:2]]


def text_error_of(dataset, column="story", split="train") -> str:
    with pytest.raises(UserError) as caught:
        list(load_texts(str(dataset), column)(split))
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_a_missing_column_is_named_with_those_there_are(stories):
    assert text_error_of(stories, "text") == f"--text_column text: {stories} has the columns story, number"


def test_a_column_that_holds_no_text_is_refused(stories):
    assert text_error_of(stories, "number") == f"--text_column number: {stories} holds int there, not text"


def test_a_text_that_is_missing_in_one_row_is_refused(stories):
    (stories / "test.jsonl").write_text('{"story": "There ."}\n{"story": null}\n')
    assert text_error_of(stories, split="test") == f"--text_column story: {stories} holds NoneType there, not text"


DATASET_DAMAGE = {
    "no file of the split": (lambda folder: (folder / "test.jsonl").unlink(), ["holds no test* file"]),
    "a broken file": (lambda folder: (folder / "test.jsonl").write_text('{"story": oh\n'), ["cannot be read", "JSON parse"]),
    "an empty file": (lambda folder: (folder / "test.jsonl").write_text(""), ["test.jsonl is empty"]),
}


@pytest.mark.parametrize(("damage", "named"), DATASET_DAMAGE.values(), ids=DATASET_DAMAGE)
def test_a_damaged_dataset_is_one_line_that_names_the_damage(stories, damage, named):
    damage(stories)
    message = text_error_of(stories, split="test")
    assert message.startswith(f"--dataset {stories}: ")
    for part in named:
        assert part in message


@pytest.mark.parametrize("name", ["/no/where", "./nowhere", "a/b/c"])
def test_a_dataset_that_is_neither_folder_nor_hub_id_is_refused(name):
    assert text_error_of(name) == f"--dataset {name}: no such folder; accepted are nursery, a local folder, or a hub id"


def test_a_hub_dataset_that_cannot_be_reached_names_the_embedded_choice():
    message = text_error_of("nobody/no-such-stories")
    assert message.startswith("--dataset nobody/no-such-stories: cannot be had from the Hugging Face hub")
    assert message.endswith("the embedded choice is --dataset nursery")


def test_the_embedded_dataset_has_its_one_column():
    with pytest.raises(UserError, match="--text_column text: the embedded dataset has the column story only"):
        load_texts("nursery", "text")
