"""The errors that are meant for the person at the keyboard."""


def printable(text: str) -> str:
    """A text as a terminal may show it: line breaks, control characters and such as escapes.

    Names of files and classes hold whatever somebody wrote there: escape codes, say.
    """
    if text.isprintable():
        return text
    return "".join(
        each if each.isprintable() else each.encode("unicode_escape").decode() for each in text
    )


class UserError(Exception):
    """What the user can put right, in one line: what, which file or key, what to do."""

    def __str__(self) -> str:
        return printable(super().__str__())


class FatalError(UserError):
    """What ends a stage, in contrast to what is wrong with one image."""
