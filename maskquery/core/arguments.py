"""Options and arguments of the commands: their help, and what is refused, in one line."""

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
        command: as in "maskquery COMMAND".
        about: what the command does, as `--help` prints it; line breaks stay.
    """

    def __init__(self, command: str, about: str | None) -> None:
        super().__init__(
            prog=f"{program()} {command}",
            description=about,
            formatter_class=argparse.RawDescriptionHelpFormatter,
            allow_abbrev=False,  # an option that comes later must not change what `--s` means
        )

    def error(self, message: str) -> NoReturn:
        """Refuse what was typed.

        Raises:
            UsageError: always.
        """
        raise UsageError(message, f"see `{self.prog} --help`")


def program() -> str:
    """The program as the user typed it."""
    typed = Path(sys.argv[0])
    is_module = typed.parts[-2:] == ("maskquery", "__main__.py")
    return "python -m maskquery" if is_module else "maskquery"


def with_reason(read: Callable[[str], T]) -> Callable[[str], T]:
    """`read` for `argparse`, which says otherwise not why a value is refused.

    Args:
        read: takes what was typed; its ValueError says what is wrong with it.
    """

    def value(text: str) -> T:
        try:
            return read(text)
        except ValueError as error:
            raise argparse.ArgumentTypeError(str(error)) from None

    return value


def whole_number(low: int, high: int) -> Callable[[str], int]:
    """What reads a whole number from `low` to `high` for `argparse`."""

    def read(text: str) -> int:
        try:
            number = int(text)
        except ValueError:
            raise ValueError(f"{text!r} is not a whole number") from None
        if not low <= number <= high:
            raise ValueError(f"{text} is not from {low} to {high}")
        return number

    return with_reason(read)
