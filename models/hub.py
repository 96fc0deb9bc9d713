"""What the Hugging Face hub answers when it does not: one line. `NURSERY` is the choice that needs no hub."""

from collections.abc import Iterator
from pathlib import Path

from configs.errors import UserError, option_error

NURSERY = "nursery"


def silence_retries() -> None:
    """The hub's client tries several times and logs each; where it fails, one line says so."""
    from huggingface_hub.utils import logging

    logging.set_verbosity_error()


def fetch(option: str, name: str, file: str) -> Path | None:
    """A file of a model on the hub, in the local cache; None where the model has none. Raises UserError without an answer.

    Offline, what is cached of a model is all that it has.
    """
    from huggingface_hub import hf_hub_download, is_offline_mode, try_to_load_from_cache
    from huggingface_hub.errors import LocalEntryNotFoundError, RemoteEntryNotFoundError

    silence_retries()
    try:
        return Path(hf_hub_download(name, file))
    except RemoteEntryNotFoundError:
        return None
    except (OSError, ValueError) as error:
        absent = isinstance(error, LocalEntryNotFoundError) and is_offline_mode()
        if absent and isinstance(try_to_load_from_cache(name, "config.json"), str):
            return None
        raise hub_error(option, name, error) from error


def hub_error(option: str, name: str, error: BaseException) -> UserError:
    choice = f"the embedded choice is {option} {NURSERY}"
    unanswered = option_error(f"{option} {name}: cannot be had from the Hugging Face hub ({reason_of(error)}); {choice}")
    return cache_error(option, name, error) or unanswered


def reason_of(error: BaseException) -> str:
    from huggingface_hub import is_offline_mode
    from huggingface_hub.errors import GatedRepoError, LocalEntryNotFoundError, RepositoryNotFoundError

    if isinstance(error, GatedRepoError):
        return "it is gated: its page there says how to get access; then `hf auth login`"
    if isinstance(error, RepositoryNotFoundError):
        return "there is no such repository, or it is private: `hf auth login`"
    if isinstance(error, LocalEntryNotFoundError):
        return f"{'HF_HUB_OFFLINE is set' if is_offline_mode() else 'there is no connection'}, and the local cache has not got it"
    return " ".join(str(error).strip().split("\n")[0].split())


def cache_error(option: str, name: str, error: BaseException) -> UserError | None:
    """Where what failed is writing to the cache of downloads and prepared datasets, as with a home that cannot be written."""
    failed = (Path(each.filename) for each in causes(error) if isinstance(each, OSError) and isinstance(each.filename, str))
    path = next((path for path in failed if any(is_within(path, cache) for cache in cache_folders())), None)
    if path is None:
        return None
    return option_error(
        f"{option} {name}: {path} cannot be read and written; HF_HOME=FOLDER puts the cache of Hugging Face elsewhere"
    )


def causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def cache_folders() -> list[Path]:
    from datasets.config import HF_DATASETS_CACHE
    from huggingface_hub.constants import HF_HOME, HF_HUB_CACHE

    return [Path(each) for each in (HF_HOME, HF_HUB_CACHE, HF_DATASETS_CACHE)]


def is_within(path: Path, folder: Path) -> bool:
    """In it, or where it would be made."""
    return path.is_relative_to(folder) or folder.is_relative_to(path)
