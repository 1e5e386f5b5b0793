"""Look at the pipeline's images, masks and scores in a browser.

maskquery explore --port 8765
"""

import argparse
from collections.abc import Sequence

from maskquery.core import params
from maskquery.explore import server
from maskquery.explore.settings import Files, Params
from maskquery.explore.workspace import Workspace


def main(arguments: Sequence[str]) -> str:
    """Serve until interrupted; the closing line."""
    chosen = _parser().parse_args(arguments)
    settings = params.load(Params)
    with Workspace(Files(), settings) as workspace:
        server.serve(workspace, chosen.host, chosen.port)
    return "explore: stopped"


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="maskquery explore",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--host", default=server.LOOPBACK, help="address to listen on (%(default)s)"
    )
    parser.add_argument("--port", type=int, default=8765, help="0 takes a free one (%(default)s)")
    return parser
