"""The errors that are meant for the person at the keyboard."""

RERUN = "run `dvc repro`"
"""The remedy of whoever runs the pipeline; `find`, which is no part of it, has another."""


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
    """What the user can put right, in one line: "problem: remedy".

    Attributes:
        problem: what is wrong, with which file or key.
        remedy: what to do; "" where the problem says it. Whoever calls from elsewhere may raise the
            same problem with another remedy.
    """

    def __init__(self, problem: str, remedy: str = "") -> None:
        super().__init__(problem, remedy)  # what pickle makes it anew from
        self.problem, self.remedy = problem, remedy

    def __str__(self) -> str:
        return printable(f"{self.problem}: {self.remedy}" if self.remedy else self.problem)


class UsageError(UserError):
    """What the user has asked for in a way that cannot be: an option, an argument."""


class FatalError(UserError):
    """What ends a stage, in contrast to what is wrong with one image."""


class InterruptedWork(KeyboardInterrupt):
    """A Ctrl-C, with what is done by then: "done; remedy".

    Attributes:
        done: what is done and kept.
        remedy: how to go on.
    """

    def __init__(self, done: str, remedy: str) -> None:
        super().__init__(done, remedy)
        self.done, self.remedy = done, remedy

    def __str__(self) -> str:
        return f"{self.done}; {self.remedy}"
