"""What may not be merged: results that are out of date, and metrics that got too much worse."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pydantic

from maskquery.core import params, yaml_text
from maskquery.core.errors import UserError
from maskquery.evaluation import bootstrap
from maskquery.review import changes, history, significance

METRICS = Path("metrics/metrics.json")
IMAGES = Path("metrics/images.csv")


@dataclass(frozen=True)
class Verdict:
    """Whether a change may be merged.

    Attributes:
        failures: what forbids it, a sentence each.
        notes: what else is to be known of the comparison, a sentence each.
    """

    failures: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


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
        words = " ".join(output.split())
        raise UserError(f"`dvc repro --dry --allow-missing` failed: {words[-300:]}")
    return list(dict.fromkeys(stale))


def is_of_another_revision() -> bool:
    """Whether nothing but the data in the workspace differs from dvc.lock, as after a `git switch`.

    Raises:
        UserError: DVC could not tell.
    """
    done = history.dvc("status", "--json")
    try:
        status = json.loads(done.stdout)
    except ValueError:
        raise UserError(f"`dvc status` failed: {' '.join(done.stderr.split())[-300:]}") from None
    entries = [entry for stage in status.values() for entry in stage if isinstance(entry, dict)]
    outputs = {path for entry in entries for path in entry.get("changed outs", {})}
    deps = {path for entry in entries for path in entry.get("changed deps", {})}
    return bool(outputs) and deps <= outputs


def judge(base: str) -> Verdict:
    """What forbids a merge onto the commit `base`.

    A metric may get worse by its tolerance in the change or in the base, whichever is tighter: a
    change that loosens the tolerance does not pass by that. So, too, significance counts where
    either asks for it. A metric that cannot be compared does not pass.

    Raises:
        UserError: params.yaml or a metrics file cannot be used, or git or DVC could not tell.
    """
    verdict = Verdict()
    if stale := stale_stages():
        verdict.failures.append(
            "the workspace's data are of another revision: run `dvc checkout`"
            if is_of_another_revision()
            else f"{', '.join(stale)}: edited without a rerun: run `dvc repro`, and commit "
            "dvc.lock and metrics/ with the edit"
        )
    review, of_base = params.load(changes.Params).review, _section_of(base)
    tolerance = dict(review.tolerance)
    for name, allowed in _tolerance_of(of_base).items():
        tolerance[name] = min(allowed, tolerance.get(name, allowed))
    if not METRICS.exists():
        raise UserError(f"{METRICS} is missing", "run `dvc repro`")
    now = changes.figures(METRICS.read_text(encoding="utf-8"), str(METRICS))
    text = history.read(base, METRICS)
    if text is None:
        if tolerance:
            verdict.failures.append(
                f"nothing to compare with: {base[:10]} has no {METRICS}; name a base that has one"
            )
        return verdict
    before, old = changes.by_todays_names(changes.figures(text, f"{METRICS} of {base[:10]}"))
    if old:
        verdict.notes.append(
            f"{base[:10]} has metrics of an earlier version, which are compared by today's names "
            f"({', '.join(old[:3])}{', ...' if len(old) > 3 else ''}; see CHANGELOG.md)"
        )
    _compare(before, now, tolerance, verdict)
    if "significant" in (review.gate, of_base.get("gate")) and changes.is_measured(before):
        _expect_no_significant_fall(base, tolerance, verdict)
    return verdict


def _section_of(base: str) -> Mapping[str, Any]:
    """The base's own section `review`; empty where its params.yaml has none that can be read."""
    text = history.read(base, params.PARAMS_FILE)
    try:
        section = yaml_text.parse(text or "", str(params.PARAMS_FILE))["review"]
    except (UserError, TypeError, KeyError):
        return {}
    return section if isinstance(section, dict) else {}


def _tolerance_of(section: Mapping[str, Any]) -> Mapping[str, float]:
    try:
        return pydantic.TypeAdapter(changes.Tolerance).validate_python(section.get("tolerance"))
    except pydantic.ValidationError:
        return {}


def _expect_no_significant_fall(
    base: str, tolerance: Mapping[str, float], verdict: Verdict
) -> None:
    before = history.read(base, IMAGES)
    now = IMAGES.read_text(encoding="utf-8") if IMAGES.exists() else None
    compared = significance.differences(before or "", now or "")
    if not compared or compared[0].interval is None:
        verdict.failures.append(
            f"review.gate is significant, and {IMAGES} of {base[:10]} and of today have fewer than "
            f"{bootstrap.LEAST_IMAGES} images in common"
        )
    for difference in compared:
        named = difference.name == significance.MEAN or difference.name in tolerance
        if named and difference.is_significant and difference.change < 0:
            verdict.failures.append(
                f"significantly worse: {difference.name}: {difference} over "
                f"{difference.images} images"
            )


def _compare(
    before: Mapping[str, float],
    now: Mapping[str, float],
    tolerance: Mapping[str, float],
    verdict: Verdict,
) -> None:
    unknown = [name for name in tolerance if name not in now and name not in before]
    if unknown and not any(changes.is_measured(metrics) for metrics in (before, now)):
        verdict.notes.append(f"there is no ground truth, so {', '.join(unknown)} is not compared")
    elif unknown:
        verdict.failures.append(
            f"review.tolerance names {', '.join(unknown)}, which {METRICS} does not have"
        )
    for name in tolerance:
        if name not in unknown and changes.direction(name) is None:
            verdict.failures.append(
                f"review.tolerance names {name}, of which neither more nor less is better"
            )
    verdict.failures.extend(
        f"worse: {worse}" for worse in changes.find_worsenings(before, now, tolerance)
    )
