"""The one kind of error that is meant for the person at the keyboard."""


class UserError(Exception):
    """What the user can put right, in one line: what, which file or key, what to do."""
