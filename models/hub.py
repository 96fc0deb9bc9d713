"""What the Hugging Face hub answers when it does not: one line. `NURSERY` is the choice that needs no hub."""

from configs.errors import UserError

NURSERY = "nursery"


def silence_retries() -> None:
    """The hub's client tries several times and logs each; where it fails, one line says so."""
    from huggingface_hub.utils import logging

    logging.set_verbosity_error()


def hub_error(option: str, name: str, error: BaseException) -> UserError:
    reason = " ".join(str(error).strip().split("\n")[0].split())
    return UserError(
        f"{option} {name}: cannot be had from the Hugging Face hub ({reason}); the embedded choice is {option} {NURSERY}"
    )
