"""The errors that a user can act on."""

RERUN = "run `dvc repro`"
"""The remedy in a pipeline; `find`, which is not part of one, replaces it."""


def printable(text: str) -> str:
    r"""Escape line breaks and control characters, so that a terminal can show a text.

    Names of files and classes may contain escape codes.

    >>> printable("a\nb"), printable("Stühle")
    ('a\\nb', 'Stühle')
    """
    if text.isprintable():
        return text
    return "".join(
        each if each.isprintable() else each.encode("unicode_escape").decode() for each in text
    )


class UserError(Exception):
    """An error that the user can act on, printed in one line: "problem: remedy".

    >>> print(UserError("data/masks.zarr is missing", "run `dvc repro`"))
    data/masks.zarr is missing: run `dvc repro`

    Attributes:
        problem: what is wrong, with which file or key.
        remedy: what to do; "" if the problem says it. A caller may raise the same problem again
            with a remedy of its own.
    """

    def __init__(self, problem: str, remedy: str = "") -> None:
        super().__init__(problem, remedy)  # what pickle makes it anew from
        self.problem, self.remedy = problem, remedy

    def __str__(self) -> str:
        return printable(f"{self.problem}: {self.remedy}" if self.remedy else self.problem)


class UsageError(UserError):
    """A wrong option or argument."""


class FatalError(UserError):
    """An error that ends a stage, unlike one of a single image."""


class InterruptedWork(KeyboardInterrupt):
    """A Ctrl-C during work that is kept, printed as "done; remedy".

    Attributes:
        done: which work is done and kept.
        remedy: how to continue.
    """

    def __init__(self, done: str, remedy: str) -> None:
        super().__init__(done, remedy)
        self.done, self.remedy = done, remedy

    def __str__(self) -> str:
        return f"{self.done}; {self.remedy}"
