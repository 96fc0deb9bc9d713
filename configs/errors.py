"""What entry points tell in one line, without a traceback."""


class UserError(Exception):
    """What a user got wrong: the option, the value and what is accepted. Exit code 2; nothing has been created by then."""


class RunFailure(RuntimeError):
    """Why a run must not go on. Exit code 1; its traceback stands in train.log."""
