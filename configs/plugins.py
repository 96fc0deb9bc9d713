"""Python files of a user's own rewards, detectors and environments. A setting names one as `PATH`; once it is resolved, as
`PATH@sha256:DIGEST`, so that whoever reads it again knows whether it is the same code.
"""

import hashlib
import re
import traceback
from collections.abc import Iterable
from pathlib import Path

from configs.errors import option_error

RESOLVED = re.compile(r"(.*)@sha256:([0-9a-f]{64})", re.DOTALL)
SESSION = "<python>"  # in place of a path: a function of a Python session, which no file holds


def split_plugin(entry: str) -> tuple[str, str | None]:
    """Its path, and the digest where it is resolved."""
    parts = RESOLVED.fullmatch(entry)
    return (parts[1], parts[2]) if parts else (entry, None)


def read_plugin(entry: str) -> bytes:
    """Raises UserError for a file that is missing or has changed."""
    path, digest = split_plugin(entry)
    try:
        source = Path(path).read_bytes()
    except OSError as error:
        raise option_error(f"--plugin {path}: cannot be read: {error.strerror}") from error
    if digest not in (None, digest_of(source)):
        raise option_error(f"--plugin {path}: has changed: its SHA-256 was {digest}, is {digest_of(source)}")
    return source


def digest_of(source: bytes) -> str:
    return hashlib.sha256(source).hexdigest()


def resolved_plugins(entries: Iterable[str]) -> tuple[str, ...]:
    """With absolute paths and digests; the same code counts once. Raises UserError, as `read_plugin`."""
    by_digest: dict[str, str] = {}
    for path, digest in map(split_plugin, entries):
        if path == SESSION:
            by_digest.setdefault(str(digest), f"{path}@sha256:{digest}")
            continue
        found = digest_of(read_plugin(path if digest is None else f"{path}@sha256:{digest}"))
        by_digest.setdefault(found, f"{Path(path).absolute()}@sha256:{found}")
    return tuple(by_digest.values())


def without_folders(entries: Iterable[str]) -> list[str]:
    """What identifies them: a file that lies elsewhere is the same code."""
    return [entry.rpartition("/")[2] for entry in entries]


def plugins_name(entries: Iterable[str]) -> str:
    """As a folder's name has them: underscores part its settings."""
    parts = [split_plugin(entry) for entry in without_folders(entries)]
    return "+".join(f"{Path(name).stem.strip('<>')}-{(digest or '')[:8]}".replace("_", "-") for name, digest in parts)


def place_of(path: Path, error: BaseException) -> str:
    """The file and the line in it that raised."""
    if isinstance(error, SyntaxError) and error.filename == str(path):
        return f"{path}:{error.lineno}"
    lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == str(path)]
    return f"{path}:{lines[-1]}" if lines else str(path)
