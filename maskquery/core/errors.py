"""The errors that are meant for the person at the keyboard."""


class UserError(Exception):
    """What the user can put right, in one line: what, which file or key, what to do."""


class FatalError(UserError):
    """What ends a stage, in contrast to what is wrong with one image."""
