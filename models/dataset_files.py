"""A dataset's folder: which of its files hold a split, and their rows one by one, so that no more is read than is needed.

Every file is opened here, under its literal name: libraries that take a path for a pattern or a URL are handed open files.
"""

import csv
import gzip
import json
import re
import sys
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from itertools import groupby
from pathlib import Path
from typing import Any, BinaryIO

from configs.errors import UserError, option_error

Rows = Iterator[tuple[str, Mapping[str, Any]]]  # where in its file a row is, as `line 3`, and its columns
BESIDE = {"dataset_info.json", "dataset_infos.json", "dataset_dict.json", "state.json"}  # say what data is, and hold none
UNREAD = {".gz", ".bz2", ".xz", ".zst", ".zip", ".arrow", ".tsv"}  # would be missed in silence beside files that are read
SHARD = re.compile(r"(\w+(?:\.\w+)*)-\d{5}-of-\d{5}\.")  # as the hub names them
WORDS = re.compile(r"[^\W\d_]+(?:_[^\W\d_]+)*")
STATE = "state.json"  # in a folder of one split that datasets' save_to_disk wrote
UNREADABLE = (OSError, ValueError, EOFError, zlib.error, NotImplementedError)  # pyarrow's are among them
NEWLINE = b"\n"
END_OF_TEXT = "<|endoftext|>"
ROWS_AT_ONCE = 1_000  # of a Parquet file


class UnreadableRow(ValueError):
    """Its message begins with where in the file it is."""


def local_rows(folder: Path, split: str, column: str) -> Rows:
    """The rows of a split, its files by name; each says where it is. Rows may lack other columns than `column`.

    Raises UserError for a split that is not there or not clear, and for what cannot be read, with its file and line.
    """
    try:
        files = split_files(folder, split)
    except OSError as error:
        raise option_error(f"--dataset {folder}: cannot be read: {error.strerror}") from error
    for file in files:
        read = read_arrow if file.suffix == ".arrow" else FORMATS[format_of(file)]
        try:
            with opened(file) as stream:
                for where, row in read(stream, column):
                    yield f"{file} {where}", row
        except UNREADABLE as error:
            raise unreadable(folder, file, error) from error


def opened(file: Path) -> AbstractContextManager[BinaryIO]:
    return gzip.open(file) if file.suffix == ".gz" else file.open("rb")  # type: ignore[return-value]  # both are binary


def unreadable(folder: Path, file: Path, error: Exception) -> UserError:
    reason = " ".join(str((isinstance(error, OSError) and error.strerror) or error).split())
    whole = "" if isinstance(error, UnreadableRow) else ": cannot be read:"
    return option_error(f"--dataset {folder}: {file.relative_to(folder)}{whole} {reason}")


# Which files


def split_files(folder: Path, split: str) -> list[Path]:
    """Raises UserError unless they lie in one place and are of one format."""
    splits = splits_of(folder)
    if split not in splits:
        if (folder / STATE).is_file():
            raise option_error(f"--dataset {folder}: is one split of save_to_disk; accepted is a folder that holds several")
        raise missing_split(str(folder), split, [*splits])
    places = splits[split]
    if len(places) > 1:
        first, second, *_ = (files[0].relative_to(folder) for files in places.values())
        raise option_error(f"--dataset {folder}: {split} files lie in two places: {first}, {second}")
    (files,) = places.values()
    if files[0].name == STATE:
        return saved_files(folder, files[0])
    first_of_format = {format_of(file): file.name for file in reversed(files)}
    if "" in first_of_format:
        raise option_error(f"--dataset {folder}: {first_of_format['']} is not of {', '.join(FORMATS)}")
    if len(first_of_format) > 1:
        raise option_error(f"--dataset {folder}: {split} files of several formats: {', '.join(sorted(first_of_format.values()))}")
    if empty := [file.name for file in files if not file.stat().st_size]:
        raise option_error(f"--dataset {folder}: {empty[0]} is empty")
    return files


def splits_of(folder: Path) -> dict[str, dict[Path, list[Path]]]:
    """{split: {where its files lie: the files by name}}: in the folder, in its data/, and in what save_to_disk wrote."""
    splits: dict[str, dict[Path, list[Path]]] = {}
    for place in (folder, folder / "data"):
        for file in sorted(place.iterdir()) if place.is_dir() else []:
            if (split := split_of(file)) and file.is_file():
                splits.setdefault(split, {}).setdefault(place, []).append(file)
    for state in sorted(folder.glob(f"*/{STATE}")):
        splits.setdefault(state.parent.name, {})[state.parent] = [state]
    return splits


def split_of(file: Path) -> str:
    """That a file's name begins with: `test_easy` of test_easy-0.jsonl; empty for what holds no data."""
    if file.name in BESIDE or not (format_of(file) or file.suffix in UNREAD):
        return ""
    match = SHARD.match(file.name)
    words = WORDS.match(file.name)
    return match[1] if match else words[0] if words else ""


def format_of(file: Path) -> str:
    """A key of FORMATS, or empty."""
    ending = "".join(file.suffixes[-2:]) if file.suffix == ".gz" else file.suffix
    return ending if ending in FORMATS else ""


def saved_files(folder: Path, state: Path) -> list[Path]:
    """Of one split that save_to_disk wrote."""
    try:
        return [state.parent / entry["filename"] for entry in parse_json(state.read_bytes(), 1)["_data_files"]]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise unreadable(folder, state, ValueError(f"not what save_to_disk writes: {error}")) from error


def missing_split(dataset: str, split: str, splits: list[str]) -> UserError:
    """Names the splits that are there."""
    has = f"has the splits {', '.join(sorted(splits))}" if splits else "has no splits"
    if split == "train":
        return option_error(f"--dataset {dataset}: holds no train split; it {has} (docs/models.md says how to name files)")
    return option_error(f"--eval_split {split}: {dataset} {has}; name the one for evaluation prompts")


# Their rows: of an open file, of which one column is wanted. What is wrong is an UnreadableRow.


def read_json(file: BinaryIO, _column: str) -> Rows:
    """An object a line, or one array of objects."""
    is_array = file.read(100).removeprefix(b"\xef\xbb\xbf").lstrip().startswith(b"[")
    file.seek(0)
    if is_array:
        values = ((f"row {number}", value) for number, value in enumerate(parse_json(file.read(), 1), 1))
    else:
        values = ((f"line {number}", parse_json(line, number)) for number, line in enumerate(file, 1) if line.strip())
    for where, value in values:
        if not isinstance(value, dict):
            raise UnreadableRow(f"{where}: is {type(value).__name__}, not an object with columns")
        yield where, value


def parse_json(text: bytes, line: int) -> Any:
    """`line` is the number of the first."""
    try:
        return json.loads(text.decode("utf-8-sig").rstrip())
    except UnicodeDecodeError as error:
        raise UnreadableRow(f"line {line + text[: error.start].count(NEWLINE)}: not UTF-8") from error
    except json.JSONDecodeError as error:
        raise UnreadableRow(f"line {line + error.lineno - 1}: not JSON: {error.msg} at column {error.colno}") from error
    except RecursionError as error:
        raise UnreadableRow(f"line {line}: is nested too deeply") from error


def read_csv(file: BinaryIO, column: str) -> Rows:
    """Everything is text there, an empty field the empty one."""
    header: list[str] | None = None
    for line, fields in csv_records(file):
        if header is None:
            header = fields
            if header.count(column) > 1:
                raise UnreadableRow(f"line {line}: several columns are named {column}")
        elif len(fields) != len(header):
            raise UnreadableRow(f"line {line}: has {len(fields)} fields, the header {len(header)}")
        else:
            yield f"line {line}", dict(zip(header, fields, strict=True))


def csv_records(file: BinaryIO) -> Iterator[tuple[int, list[str]]]:
    """Each with the line on which it begins; empty lines are none."""
    csv.field_size_limit(sys.maxsize)  # of the whole process; else a text of 128 kB is an error
    reader = csv.reader(text_lines(file), strict=True)
    while True:
        line = reader.line_num + 1
        try:
            fields = next(reader, None)
        except csv.Error as error:
            raise UnreadableRow(f"line {line}: not CSV: {error}") from error
        if fields is None:
            return
        if fields:
            yield line, fields


def read_txt(file: BinaryIO, _column: str) -> Rows:
    """A text is a block of lines, with blank lines between blocks. It goes by the default column's name and by `text`."""
    for is_blank, block in groupby(enumerate(text_lines(file), 1), key=lambda numbered: not numbered[1].strip()):
        if is_blank:
            continue
        numbers, lines = zip(*block, strict=True)
        if separator := [number for number, line in zip(numbers, lines, strict=True) if line.strip() == END_OF_TEXT]:
            raise UnreadableRow(f"line {separator[0]}: is {END_OF_TEXT}, where texts are separated by blank lines")
        text = "\n".join(line.rstrip("\r\n") for line in lines)
        yield f"line {numbers[0]}", {"story": text, "text": text}


def text_lines(file: BinaryIO) -> Iterator[str]:
    for number, line in enumerate(file, 1):
        try:
            yield line.decode("utf-8-sig" if number == 1 else "utf-8")
        except UnicodeDecodeError as error:
            raise UnreadableRow(f"line {number}: not UTF-8") from error


def read_parquet(file: BinaryIO, column: str) -> Rows:
    from pyarrow.parquet import ParquetFile

    parquet = ParquetFile(file)
    names = parquet.schema_arrow.names
    batches = parquet.iter_batches(ROWS_AT_ONCE, columns=[column] if column in names else [])
    return table_rows(names, batches, column)


def read_arrow(file: BinaryIO, column: str) -> Rows:
    """As save_to_disk writes it."""
    from pyarrow import ipc

    stream = ipc.open_stream(file)
    return table_rows(stream.schema.names, stream, column)


def table_rows(names: list[str], batches: Any, column: str) -> Rows:
    if column not in names:
        yield "row 1", dict.fromkeys(names)
        return
    number = 0
    for batch in batches:
        for value in batch.column(column).to_pylist():
            number += 1
            yield f"row {number}", {column: value}


Reader = Callable[[BinaryIO, str], Rows]
PLAIN: dict[str, Reader] = {".jsonl": read_json, ".json": read_json, ".csv": read_csv, ".txt": read_txt}
FORMATS = PLAIN | {f"{ending}.gz": read for ending, read in PLAIN.items()} | {".parquet": read_parquet}
