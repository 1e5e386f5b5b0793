import threading

import pytest

from maskquery.core.errors import FatalError, UserError
from maskquery.jobs.job import Lazy


def test_a_model_is_loaded_once_and_its_failure_is_nobodys() -> None:
    calls: list[int] = []
    model = Lazy(lambda: calls.append(1))
    threads = [threading.Thread(target=model) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert calls == [1]

    def fail() -> None:
        raise UserError("no checkpoint")

    with pytest.raises(FatalError, match="no checkpoint"):
        Lazy(fail)()

    def run_out() -> None:
        raise RuntimeError("the GPU has no memory")

    with pytest.raises(FatalError, match="RuntimeError: the GPU has no memory"):
        Lazy(run_out)()
