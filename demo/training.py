"""A training that runs for a given time, and goes on where it was stopped."""

import argparse
import copy
import json
import math
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor, nn

WARM_UP = 0.01  # share of the time in which the learning rate rises to its peak
AVERAGE_DECAY = 0.998  # of the moving average of weights, which is what is validated and shipped
LONGEST_STEP = 1.0  # gradients are clipped to this norm
LOG_SECONDS, SAVE_SECONDS = 300, 120


VALIDATION_ROOMS = 64  # the first of the folder are held out


def arguments(description: str, **defaults: float) -> argparse.ArgumentParser:
    """The command line that both trainings share."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--rooms", type=Path, required=True, help="folder of training rooms")
    parser.add_argument("--work", type=Path, required=True, help="folder of checkpoint and log")
    parser.add_argument("--start", type=Path, help="weights to begin with (.safetensors)")
    parser.add_argument("--minutes", type=float, help="how long, with earlier runs of --work")
    parser.add_argument("--batch", type=int, help="rooms in a step")
    parser.add_argument("--rate", type=float, help="the highest learning rate")
    parser.add_argument("--threads", type=int)
    parser.set_defaults(rate=2e-3, threads=2, **defaults)
    return parser


def learning_rate(progress: float, peak: float) -> float:
    """Linear warm-up, then cosine to zero, by the share of the time used up (0 to 1)."""
    if progress < WARM_UP:
        return peak * max(progress, 1e-4) / WARM_UP
    return peak * 0.5 * (1 + math.cos(math.pi * min(progress, 1.0)))


class Training:
    """Optimiser, moving average, checkpoints and log of one training.

    Args:
        work: folder of `checkpoint.pt` and `log.jsonl`; a checkpoint there is continued.
        model: what is shipped in the end.
        helpers: what is trained beside it and thrown away.
        minutes: how long to train, earlier runs of the same `work` included.
        peak: the highest learning rate.
        start: a `.safetensors` file of `model` to begin with, instead of random weights.
    """

    def __init__(
        self,
        work: Path,
        model: nn.Module,
        helpers: nn.Module,
        *,
        minutes: float,
        peak: float,
        weight_decay: float,
        start: Path | None,
    ) -> None:
        if start:
            model.load_state_dict(load_file(start))
        self.work, self.seconds, self.peak = work, minutes * 60, peak
        self.modules = nn.ModuleDict({"model": model, "helpers": helpers})
        self.average = copy.deepcopy(model).eval()
        self.parameters = list(self.modules.parameters())
        self.optimizer = torch.optim.AdamW(self.parameters, lr=peak, weight_decay=weight_decay)
        self.step, self.used = 0, 0.0
        work.mkdir(parents=True, exist_ok=True)
        if (work / "checkpoint.pt").exists():
            state = torch.load(work / "checkpoint.pt", weights_only=True)
            self.modules.load_state_dict(state["modules"])
            self.average.load_state_dict(state["average"])
            self.optimizer.load_state_dict(state["optimizer"])
            self.step, self.used = state["step"], state["used"]

    def steps(self, validate: Callable[[], dict[str, float]]) -> Iterator[int]:
        """Step numbers until the time is used up; in between, logs `validate()` and saves."""
        started = time.monotonic() - self.used
        logged = saved = time.monotonic()
        while self.used < self.seconds:
            rate = learning_rate(self.used / self.seconds, self.peak)
            for group in self.optimizer.param_groups:
                group["lr"] = rate
            self.modules.train()
            yield self.step
            now = time.monotonic()
            self.used = now - started
            if now - logged > LOG_SECONDS:
                logged = now
                self._log(validate())
            if now - saved > SAVE_SECONDS:
                saved = now
                self._save()
        self._save()
        self._log(validate())

    def learn(self, loss: Tensor) -> None:
        """One step down the gradient of `loss`, and the average moved along."""
        self.optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(self.parameters, LONGEST_STEP)
        self.optimizer.step()
        self.step += 1
        decay = min(AVERAGE_DECAY, self.step / (10 + self.step))
        new = self.modules["model"].state_dict()
        with torch.no_grad():
            for name, old in self.average.state_dict().items():
                if old.is_floating_point():
                    old.lerp_(new[name], 1 - decay)
                else:
                    old.copy_(new[name])
        if self.step % 20 == 0:
            minutes = self.used / 60
            print(f"{self.step} {minutes:.1f} min, loss {float(loss.detach()):.3f}", flush=True)

    def _log(self, figures: dict[str, float]) -> None:
        row = {"step": self.step, "minutes": round(self.used / 60, 1)}
        row |= {name: round(value, 4) for name, value in figures.items()}
        with (self.work / "log.jsonl").open("a") as file:
            file.write(json.dumps(row) + "\n")
        print(row, flush=True)

    def _save(self) -> None:
        state = {
            "modules": self.modules.state_dict(),
            "average": self.average.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "step": self.step,
            "used": self.used,
        }
        torch.save(state, self.work / "checkpoint.tmp")
        (self.work / "checkpoint.tmp").replace(self.work / "checkpoint.pt")
