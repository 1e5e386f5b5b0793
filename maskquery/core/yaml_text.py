"""YAML as DVC reads and writes it: ruamel.yaml, YAML 1.2.

So `1e-3` is a number here as there, `yes` and `12:30` are text, and a key given twice is an error.
"""

import io
import re
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError

from maskquery.core.errors import UserError

MOST_VALUES = 100_000
"""Aliases multiply: ten lines can stand for a billion values. DVC reads the file, too."""


def parse(text: str, name: str) -> Any:
    """The value that a YAML text holds, of Python's own types.

    Args:
        text: of the file.
        name: of the file, for messages.

    Raises:
        UserError: it is not YAML, a key is given twice, or it holds itself or too many values.
    """
    try:
        tree = YAML(typ="safe").load(text)
        _expect_bounded(tree, name)
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = f" line {mark.line + 1}" if mark else ""
        problem = (error.problem or error.context or "").removesuffix(".")
        if twice := re.match(r'found duplicate key "(.*?)" with', problem):
            problem = f"the key {twice[1]!r} is given twice"
        raise UserError(f"{name}{line}: {problem}") from None
    except YAMLError as error:
        raise UserError(f"{name}: {' '.join(str(error).split())}") from None
    except RecursionError:
        raise UserError(f"{name}: its values are nested too deeply") from None
    except ValueError as error:  # a whole number of thousands of digits, a day 99 of a month
        raise UserError(f"{name}: {str(error).split(';')[0]}") from None
    return tree


def _expect_bounded(tree: Any, name: str) -> None:
    """Refuse a tree that is endless, or too large once its aliases are written out."""
    sizes: dict[int, int] = {}
    within: set[int] = set()

    def size(value: Any) -> int:
        if not isinstance(value, dict | list):
            return 1
        if id(value) in within:
            raise UserError(f"{name}: a value holds itself, through an alias (*)")
        if id(value) not in sizes:
            within.add(id(value))
            items = value.values() if isinstance(value, dict) else value
            sizes[id(value)] = 1 + sum(map(size, items))
            within.remove(id(value))
        return sizes[id(value)]

    try:
        if size(tree) > MOST_VALUES:
            raise UserError(
                f"{name}: it stands for more than {MOST_VALUES} values, through aliases"
            )
    except RecursionError:
        raise UserError(f"{name}: its values are nested too deeply") from None


def dump(tree: Any) -> str:
    """A tree of Python's own types as YAML, in the form in which DVC writes it."""
    yaml = YAML()
    yaml.default_flow_style = False
    yaml.width = 4096  # no line is folded: a prompt stays on its line
    text = io.StringIO()
    yaml.dump(tree, text)
    return text.getvalue()
