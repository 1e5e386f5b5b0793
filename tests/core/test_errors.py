import pickle

import pytest

from maskquery.core.errors import FatalError, InterruptedWork, UsageError, UserError


@pytest.mark.parametrize("kind", [UserError, UsageError, FatalError])
def test_a_problem_and_its_remedy_are_one_line(kind: type[UserError]) -> None:
    error = kind("data/masks.zarr is missing", "run `dvc repro`")
    assert (error.problem, error.remedy) == ("data/masks.zarr is missing", "run `dvc repro`")
    assert str(error) == "data/masks.zarr is missing: run `dvc repro`"
    assert str(kind("a.png does not exist")) == "a.png does not exist"


@pytest.mark.parametrize(
    "error", [FatalError("it is full", "free some"), InterruptedWork("3", "x")]
)
def test_they_cross_processes(error: BaseException) -> None:
    copy = pickle.loads(pickle.dumps(error))
    assert type(copy) is type(error)
    assert (str(copy), vars(copy)) == (str(error), vars(error))
