"""A new run that begins with the weights of another run's checkpoint (`--continue_from`), and with nothing else of it."""

from configs.errors import UserError
from grpo.run import Run
from records import files
from records.checkpoints import split_source, weights_digest
from records.reader import read_made_of
from runs.checkpoint import CheckpointError, load_weights


def begin_from_source(run: Run) -> None:
    """Loads the weights that the settings name; without any, the run begins with the base. The reference stays the base.

    Raises UserError where they are gone, have changed, or are of another base or adapter.
    """
    if not run.config.continue_from:
        return
    checkpoint, digest = split_source(run.config.continue_from)
    try:
        if not checkpoint.is_dir():
            raise UserError("is not there any more, and the run has no checkpoint of its own yet")
        if (now := weights_digest(checkpoint)) != digest:
            raise UserError(f"has other weights than when the run was made: their SHA-256 was {digest}, is {now}")
        base = read_made_of(checkpoint.parent).get("base_fingerprint")
        if base != run.fingerprint:
            raise UserError(f"began with other base weights than --model {run.config.model}: {files.MADE_OF} says {base}, "
                            f"not {run.fingerprint}")  # fmt: skip
        load_weights(run, checkpoint)
    except (CheckpointError, UserError) as error:
        raise UserError(f"--continue_from {checkpoint}: {' '.join(str(error).split())}") from error
