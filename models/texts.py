"""Texts of a dataset from where a user has them: embedded, a local folder, or the Hugging Face hub.

Nothing falls back on anything: what cannot be had is a UserError that names it.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from configs.errors import option_error
from models.dataset_files import Rows, local_rows, missing_split
from models.hub import NURSERY, hub_error, silence_retries
from models.nursery import generator

HUB_ID = re.compile(r"\w[\w.-]*(/[\w.-]+)?", re.ASCII)
SURROGATE = re.compile("[\ud800-\udfff]")


def load_texts(dataset: str, column: str) -> Callable[[str], Iterator[str]]:
    """`texts(split)` yields the texts of a split. Raises UserError when the dataset, its split or its column is missing."""
    if dataset == NURSERY:
        if column != "story":
            raise option_error(f"--text_column {column}: the embedded dataset has the column story only")
        return nursery_texts

    def texts(split: str) -> Iterator[str]:
        for where, row in rows_of(dataset, split, column):
            yield text_of(where, row, column)

    return texts


def nursery_texts(split: str) -> Iterator[str]:
    if split not in generator.SPLITS:
        raise missing_split("the embedded dataset", split, [*generator.SPLITS])
    return generator.stories(split)


def rows_of(dataset: str, split: str, column: str) -> Rows:
    folder = Path(dataset)
    try:
        is_folder, is_file = folder.is_dir(), folder.is_file()
    except OSError as error:
        raise option_error(f"--dataset {dataset}: cannot be read: {error.strerror}") from error
    if is_folder:
        return local_rows(folder, split, column)
    if is_file:
        raise option_error(f"--dataset {dataset}: is a file; accepted is the folder of train* and test* files")
    if not HUB_ID.fullmatch(dataset):
        raise option_error(f"--dataset {dataset}: no such folder; accepted are nursery, a local folder, or a hub id")
    return hub_rows(dataset, split)


def hub_rows(dataset: str, split: str) -> Rows:
    import datasets
    from datasets.exceptions import DatasetsError

    silence_retries()
    try:
        splits: Any = datasets.load_dataset(dataset)
    except (OSError, ValueError, DatasetsError) as error:
        raise hub_error("--dataset", dataset, error) from error
    if split not in splits:
        raise missing_split(dataset, split, [*map(str, splits)])
    for number, row in enumerate(splits[split], 1):
        yield f"{dataset} {split} row {number}", row


def text_of(where: str, row: Mapping[str, Any], column: str) -> str:
    if column not in row:
        raise option_error(f"--text_column {column}: {where} has the columns {', '.join(row)}")
    text = row[column]
    if not isinstance(text, str):
        raise option_error(f"--text_column {column}: {where} holds {type(text).__name__} there, not text")
    if SURROGATE.search(text):
        raise option_error(f"--text_column {column}: {where} holds half of a surrogate pair there, which is no character")
    return text
