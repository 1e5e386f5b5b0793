"""`python -m maskquery`: the command `maskquery`."""

from maskquery import cli

cli.run()
