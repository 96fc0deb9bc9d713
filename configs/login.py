"""Whether wandb can be logged into, before anything is loaded or created for a run that it is to have online."""

from collections.abc import Collection

from configs.errors import UserError


def check_login(modes: Collection[str]) -> None:
    """Where one of the modes (`--wandb.mode`) is online, looks for the key of wandb's server where wandb looks for it.

    Asks neither a user nor the network. Raises UserError where there is no key, or none that can be one.
    """
    if "online" not in modes:
        return
    from wandb.errors import AuthenticationError
    from wandb.sdk import wandb_setup
    from wandb.sdk.lib import wbauth

    host, fault = wandb_setup.singleton().settings.base_url, "is not logged in"
    try:
        found = wbauth.authenticate_session(host=host, source="", prompt=False, update_session=False)
    except AuthenticationError as error:
        found, fault = None, f"cannot log in: {' '.join(str(error).split())}"
    if found is None:
        raise UserError(f"--wandb.mode online: {fault} at {host}; accepted with `uv run wandb login` or WANDB_API_KEY; "
                        "--wandb.mode offline needs neither")  # fmt: skip
