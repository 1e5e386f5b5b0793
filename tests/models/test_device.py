import pytest
import torch

from maskquery.core.errors import UserError
from maskquery.models import device


@pytest.fixture
def present(monkeypatch: pytest.MonkeyPatch) -> dict[str, bool]:
    """What torch is to find; nothing at first."""
    available = {"cuda": False, "mps": False}
    monkeypatch.delenv(device.VARIABLE, raising=False)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: available["cuda"])
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: available["mps"])
    return available


def test_cuda_then_mps_then_cpu(present: dict[str, bool]) -> None:
    assert device.pick().type == "cpu"
    present["mps"] = True
    assert device.pick().type == "mps"
    present["cuda"] = True
    assert device.pick().type == "cuda"


def test_environment_decides(present: dict[str, bool], monkeypatch: pytest.MonkeyPatch) -> None:
    present["cuda"] = True
    monkeypatch.setenv(device.VARIABLE, "cpu")
    assert device.pick().type == "cpu"


@pytest.mark.parametrize("wish", ["gpu", "cuda:99", "mps:7", "meta:x"])
def test_device_that_is_not_there(monkeypatch: pytest.MonkeyPatch, wish: str) -> None:
    monkeypatch.setenv(device.VARIABLE, wish)
    with pytest.raises(UserError, match=f"{device.VARIABLE}={wish}: torch cannot use it") as raised:
        device.pick()
    assert "\n" not in str(raised.value)


def test_float32_is_float32(present: dict[str, bool], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", True)
    present["cuda"] = True
    device.pick()
    assert not torch.backends.cudnn.allow_tf32
    assert not torch.backends.cuda.matmul.allow_tf32


@pytest.mark.parametrize(("capability", "has"), [((7, 5), False), ((8, 0), True), ((9, 0), True)])
def test_a_gpu_has_bfloat16_from_ampere_on(
    monkeypatch: pytest.MonkeyPatch, capability: tuple[int, int], has: bool
) -> None:
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda _: capability)
    assert device.has_bfloat16(torch.device("cuda")) == has
