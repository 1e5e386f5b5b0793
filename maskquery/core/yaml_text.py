"""Read and write YAML as DVC does: with ruamel.yaml, YAML 1.2.

So `1e-3` is a number, `yes` and `12:30` are text, and a duplicate key is an error.
"""

import io
import re
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError

from maskquery.core.errors import UserError

MOST_VALUES = 100_000
"""The most values of a file. Through aliases ten lines can stand for a billion."""


def parse(text: str, name: str) -> Any:
    r"""Parse a YAML text into Python's own types.

    >>> parse("rate: 1e-3\nanswer: yes", "params.yaml")
    {'rate': 0.001, 'answer': 'yes'}

    Args:
        text: of the file.
        name: of the file, for messages.

    Raises:
        UserError: it is not YAML, has a duplicate key, contains itself, or has too many values.
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
    """Refuse a tree that contains itself, or has too many values after aliases are expanded."""
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
    """Format a tree of Python's own types as YAML, as DVC does."""
    yaml = YAML()
    yaml.default_flow_style = False
    yaml.width = 4096  # no line is folded: a prompt stays on its line
    text = io.StringIO()
    yaml.dump(tree, text)
    return text.getvalue()
