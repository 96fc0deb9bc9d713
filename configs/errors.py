"""What a user got wrong: one line naming the option, the value and what is accepted."""


class UserError(Exception):
    """Entry points print its message as one line and exit with code 2; nothing has been created by then."""
