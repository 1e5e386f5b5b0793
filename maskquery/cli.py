"""The command `maskquery`: one word for each thing that people do with it.

A command's module is imported when it is called: `maskquery --help` loads nothing else.
"""

import importlib
import sys
from collections.abc import Callable, Sequence

import maskquery

try:
    from maskquery.core import console
    from maskquery.core.arguments import program
    from maskquery.core.errors import UsageError
except ImportError as error:
    if error.name != "fcntl":
        raise
    sys.exit(f"error: {error}")

COMMANDS = {
    "find": ("maskquery.finding.command", "objects in an image or a folder, by text"),
    "explore": ("maskquery.explore.command", "images, masks and scores in a browser"),
    "export": ("maskquery.formats.export", "predictions in another tool's format"),
    "import": ("maskquery.formats.import_coco", "ground truth from a COCO file"),
    "pack": ("maskquery.formats.pack", "a folder of images into a few archives"),
    "list": ("maskquery.formats.list_images", "the images of a bucket"),
    "check": ("maskquery.checking.command", "what is wrong with params and data, before a run"),
    "review": ("maskquery.review.command", "what this working tree does to the results"),
    "preset": ("maskquery.presets.command", "a named set of params into params.yaml"),
    "cache": ("maskquery.jobs.cleaning", "what the cache of finished work holds; clean it"),
    "metrics": ("maskquery.metrics_table", "the metrics of each class"),
}
"""The module of each command, which has a `main`, and what the command is about."""


def main(arguments: Sequence[str]) -> str:
    """Run the command that the first argument names; its closing line.

    Raises:
        UsageError: there is no such command, or it does not take the other arguments.
        UserError: what the command raises.
    """
    if not arguments or arguments[0] in ("-h", "--help"):
        return usage()
    name, *rest = arguments
    if name == "--version":
        return f"maskquery {maskquery.__version__}"
    if name not in COMMANDS:
        raise UsageError(f"there is no command {name!r}; there are {', '.join(COMMANDS)}")
    command: Callable[[Sequence[str]], str] = importlib.import_module(COMMANDS[name][0]).main
    return command(rest)


def usage() -> str:
    """The commands, a line each."""
    lines = [f"  {name:<9}{about}" for name, (_, about) in COMMANDS.items()]
    more = f"`{program()} COMMAND --help` says more about one; `--version` tells the version."
    return "\n".join([f"usage: {program()} COMMAND ...", "", *lines, "", more])


def run() -> None:
    """The console script."""
    console.run(lambda: main(sys.argv[1:]))
