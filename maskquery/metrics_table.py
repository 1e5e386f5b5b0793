"""The metrics of each class, as a table."""

import json
from collections.abc import Sequence
from pathlib import Path

from maskquery.core.arguments import Parser
from maskquery.core.errors import UserError

DETAILS = Path("metrics/details.json")


def main(arguments: Sequence[str]) -> str:
    """The table."""
    Parser("metrics", __doc__).parse_args(arguments)
    import pandas as pd

    try:
        classes = json.loads(DETAILS.read_text(encoding="utf-8"))["classes"]
    except (OSError, ValueError, TypeError, KeyError):
        raise UserError(f"{DETAILS} cannot be read", "run `dvc repro`") from None
    plain = {
        name: {key: value for key, value in figures.items() if not isinstance(value, dict)}
        for name, figures in classes.items()
    }
    table = pd.DataFrame.from_dict(plain, orient="index", dtype=object)
    return str(table.fillna("-").to_string())
