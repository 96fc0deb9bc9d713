"""Texts of a dataset from where a user has them: embedded, a local folder, or the Hugging Face hub.

Nothing falls back on anything: what cannot be had is a UserError that names it.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from configs.errors import UserError
from models.hub import NURSERY, cache_error, hub_error, silence_retries
from models.nursery import generator

FORMATS = {".jsonl": "json", ".json": "json", ".parquet": "parquet", ".csv": "csv"}


def load_texts(dataset: str, column: str) -> Callable[[str], Iterator[str]]:
    """`texts(split)` yields the texts of `train` or `test`. Raises UserError when the dataset or its column is missing."""
    if dataset == NURSERY:
        if column != "story":
            raise UserError(f"--text_column {column}: the embedded dataset has the column story only")
        return generator.stories

    def texts(split: str) -> Iterator[str]:
        rows = load_rows(dataset, split)
        if column not in rows.column_names:
            raise UserError(f"--text_column {column}: {dataset} has the columns {', '.join(rows.column_names)}")
        for row in rows:
            if not isinstance(row[column], str):
                raise UserError(f"--text_column {column}: {dataset} holds {type(row[column]).__name__} there, not text")
            yield row[column]

    return texts


def load_rows(dataset: str, split: str) -> Any:
    """A `datasets.Dataset`."""
    import datasets
    from datasets.exceptions import DatasetsError

    folder = Path(dataset)
    try:
        if folder.is_dir():
            files = split_files(dataset, split)
            with no_progress_bars():
                return datasets.load_dataset(FORMATS[files[0].suffix], data_files={split: [*map(str, files)]}, split=split)
        if dataset.count("/") > 1 or dataset.startswith((".", "/", "~")):
            raise UserError(f"--dataset {dataset}: no such folder; accepted are nursery, a local folder, or a hub id")
        silence_retries()
        return datasets.load_dataset(dataset, split=split)
    except (OSError, ValueError, DatasetsError) as error:
        if not folder.is_dir():
            raise hub_error("--dataset", dataset, error) from error
        unread = UserError(" ".join(f"--dataset {dataset}: cannot be read: {error.__cause__ or error}".split()))
        raise cache_error("--dataset", dataset, error) or unread from error


def split_files(folder: str, split: str) -> list[Path]:
    files = [file for file in sorted(Path(folder).glob(f"{split}*")) if file.suffix in FORMATS]
    if not files:
        raise UserError(f"--dataset {folder}: holds no {split}* file of {', '.join(FORMATS)}")
    if empty := [file.name for file in files if not file.stat().st_size]:
        raise UserError(f"--dataset {folder}: {empty[0]} is empty")
    return files


@contextmanager
def no_progress_bars() -> Iterator[None]:
    """A local folder is read in a moment; what is wrong with it is to stand alone on the screen."""
    from datasets.utils import are_progress_bars_disabled, disable_progress_bars, enable_progress_bars

    were_disabled = are_progress_bars_disabled()
    disable_progress_bars()
    try:
        yield
    finally:
        if not were_disabled:
            enable_progress_bars()
