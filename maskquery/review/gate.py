"""What may not be merged: results that are out of date, and figures that dropped too far."""

import re
from pathlib import Path

from maskquery.core import params
from maskquery.core.errors import UserError
from maskquery.review import changes, history

METRICS = Path("metrics/metrics.json")


def stale_stages() -> list[str]:
    """The stages whose params, code or data were edited without a rerun.

    Needs no data: what is missing is compared by the hashes in dvc.lock.

    Raises:
        UserError: DVC could not tell.
    """
    done = history.dvc("repro", "--dry", "--allow-missing")
    output = done.stdout + done.stderr
    stale = re.findall(r"Running stage '([^']+)'", output)
    stale += re.findall(r"failed to reproduce '([^']+)'", output)
    if done.returncode and not stale:
        raise UserError(f"`dvc repro --dry --allow-missing` failed: {output.strip()[-300:]}")
    return list(dict.fromkeys(stale))


def failures(base: str) -> list[str]:
    """Everything that forbids a merge onto the commit `base`, a sentence each.

    Raises:
        UserError: params.yaml or a metrics file cannot be used.
    """
    found = []
    if stale := stale_stages():
        found.append(
            f"{', '.join(stale)}: edited without a rerun: run `dvc repro`, and commit dvc.lock "
            "and metrics/ with the edit"
        )
    tolerance = params.load(changes.Params).review.tolerance
    if not METRICS.exists():
        raise UserError(f"{METRICS} is missing: run `dvc repro`")
    now, before = METRICS.read_text(encoding="utf-8"), history.read(base, METRICS)
    if missing := changes.unknown(now, tolerance):
        found.append(f"review.tolerance names {', '.join(missing)}, which {METRICS} does not have")
    if before is not None:
        found += [f"dropped: {drop}" for drop in changes.drops(before, now, tolerance)]
    return found
