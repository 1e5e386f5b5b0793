"""Parse the arguments of commands; errors are one line."""

import argparse
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn, TypeVar

from maskquery.core.errors import UsageError

T = TypeVar("T")


class Parser(argparse.ArgumentParser):
    """The arguments of one command.

    Args:
        command: its name, as in "maskquery COMMAND".
        about: the text of `--help`; line breaks are kept.
    """

    def __init__(self, command: str, about: str | None) -> None:
        super().__init__(
            prog=f"{program()} {command}",
            description=about,
            formatter_class=argparse.RawDescriptionHelpFormatter,
            allow_abbrev=False,  # so that a new option does not change the meaning of `--s`
        )

    def error(self, message: str) -> NoReturn:
        """Raise the error of a wrong argument.

        Raises:
            UsageError: always.
        """
        raise UsageError(message, f"see `{self.prog} --help`")


def program() -> str:
    """The name of the program as the user typed it."""
    typed = Path(sys.argv[0])
    is_module = typed.parts[-2:] == ("maskquery", "__main__.py")
    return "python -m maskquery" if is_module else "maskquery"


def with_reason(read: Callable[[str], T]) -> Callable[[str], T]:
    """Wrap a parser for argparse, so that its error message contains the reason.

    Args:
        read: parses an argument; its ValueError has the reason.
    """

    def value(text: str) -> T:
        try:
            return read(text)
        except ValueError as error:
            raise argparse.ArgumentTypeError(str(error)) from None

    return value


def whole_number(low: int, high: int) -> Callable[[str], int]:
    """A parser of whole numbers from `low` to `high`, for argparse."""

    def read(text: str) -> int:
        try:
            number = int(text)
        except ValueError:
            raise ValueError(f"{text!r} is not a whole number") from None
        if not low <= number <= high:
            raise ValueError(f"{text} is not from {low} to {high}")
        return number

    return with_reason(read)
