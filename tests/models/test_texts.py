"""Texts come split by split and in order; a dataset that does not do is one line to the user (files: test_dataset_files.py)."""

import json

import datasets
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


def text_error_of(dataset, column="story", split="train") -> str:
    with pytest.raises(UserError) as caught:
        list(load_texts(str(dataset), column)(split))
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_a_missing_column_is_named_with_those_there_are(stories):
    message = f"--text_column text: {stories}/train-0.jsonl line 1 has the columns story, number"
    assert text_error_of(stories, "text") == message


@pytest.mark.parametrize("name", ["/no/where", "./nowhere", "a/b/c", "no[where]", "a::b", "s3://b", "~/a"])
def test_a_dataset_that_is_neither_folder_nor_hub_id_is_refused(name):
    with pytest.raises(UserError) as caught:
        list(load_texts(name, "story")("train"))
    assert str(caught.value) == f"--dataset {name}: no such folder; accepted are nursery, a local folder, or a hub id"


def test_a_file_is_no_dataset(stories):
    file = stories / "test.jsonl"
    assert text_error_of(file) == f"--dataset {file}: is a file; accepted is the folder of train* and test* files"


def test_a_name_that_no_file_can_have_is_one_line():
    assert text_error_of("x" * 300) == f"--dataset {'x' * 300}: cannot be read: File name too long"


def test_a_hub_dataset_that_cannot_be_reached_names_the_embedded_choice():
    message = text_error_of("nobody/no-such-stories")
    assert message.startswith("--dataset nobody/no-such-stories: cannot be had from the Hugging Face hub")
    assert message.endswith("the embedded choice is --dataset nursery")


def test_a_hub_dataset_gives_its_splits_and_names_row_and_column(monkeypatch):
    splits = {split: datasets.Dataset.from_list(rows) for split, rows in {"train": TRAIN, "validation": TEST}.items()}
    monkeypatch.setattr(datasets, "load_dataset", {"some/stories": datasets.DatasetDict(splits)}.__getitem__)
    texts = load_texts("some/stories", "story")
    assert [*texts("train")] == [row["story"] for row in TRAIN]
    assert [*texts("validation")] == [row["story"] for row in TEST]
    assert text_error_of("some/stories", split="test") == (
        "--eval_split test: some/stories has the splits train, validation; name the one for evaluation prompts"
    )
    assert text_error_of("some/stories", "tale").startswith("--text_column tale: some/stories train row 1 has the columns")
    assert text_error_of("some/stories", "number").endswith("train row 1 holds int there, not text")


def test_the_embedded_dataset_has_its_one_column_and_its_two_splits():
    with pytest.raises(UserError, match="--text_column text: the embedded dataset has the column story only"):
        load_texts("nursery", "text")
    assert text_error_of("nursery", split="validation").startswith(
        "--eval_split validation: the embedded dataset has the splits test, train;"
    )
