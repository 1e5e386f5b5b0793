"""Look at the pipeline's images, masks and scores in a browser.

maskquery explore --port 8765
"""

from collections.abc import Sequence

from maskquery.core import params
from maskquery.core.arguments import Parser, whole_number
from maskquery.explore import listening, server
from maskquery.explore.settings import Files, Params
from maskquery.explore.workspace import Workspace


def main(arguments: Sequence[str]) -> str:
    """Serve until interrupted; the closing line."""
    chosen = parser().parse_args(arguments)
    listening.resolve(chosen.host, chosen.port)  # before anything is read
    settings = params.load(Params)
    with Workspace(Files(), settings) as workspace:
        application = server.application(workspace)
        listening.serve(application, chosen.host, chosen.port, chosen.allow_host)
    return "explore: stopped"


def parser() -> Parser:
    """The command's arguments."""
    arguments = Parser("explore", __doc__)
    add = arguments.add_argument
    add("--host", default=listening.LOOPBACK, help="address to listen on (%(default)s)")
    port = whole_number(0, 65535)
    add("--port", type=port, default=8765, help="0 takes a free one (%(default)s)")
    add(
        "--allow-host",
        action="append",
        default=[],
        metavar="NAME",
        help="a further name by which browsers call it, as behind a port forwarding; repeatable",
    )
    return arguments
