"""Put a preset's params into params.yaml; comments and all other keys stay.

maskquery preset report
"""

import io
from collections.abc import Sequence

from ruamel.yaml import YAML

from maskquery import presets
from maskquery.core import files, params
from maskquery.core.arguments import Parser


def main(arguments: Sequence[str]) -> str:
    """Change params.yaml in the current folder; the closing line."""
    parser = Parser("preset", __doc__)
    parser.add_argument("name", help=", ".join(presets.names()))
    keys = presets.read(parser.parse_args(arguments).name)
    params.load(params.Section)  # says in one line what is wrong with the file
    yaml = YAML()  # keeps comments, and writes as DVC does: a change of one value is one line
    document = yaml.load(params.PARAMS_FILE.read_text(encoding="utf-8"))
    presets.apply(document, keys)
    text = io.StringIO()
    yaml.dump(document, text)
    files.write_file(params.PARAMS_FILE, text.getvalue().encode())
    return f"presets: {params.PARAMS_FILE} has {', '.join(keys)} of the preset; now `dvc exp run`"
