"""Where a step's time goes, by wrapping the engine's functions from outside; the engine knows nothing of it.

PHASES is the one place that names them. A name that does not exist, or that nothing called while measuring, is an
error: a function must be named in the module that looks it up, or the wrapped one is never reached.
"""

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from functools import wraps
from importlib import import_module
from typing import Any

import torch

from bench.machine import synchronize
from configs.resolved import ResolvedExperiment
from routing.router import MicroBatch

PhaseOf = str | Callable[..., str]  # a phase, or what tells it from the arguments of a call


def pass_name(*arguments: Any, **_: Any) -> str:
    """Of the micro-batch that one of the arguments is."""
    (micro_batch,) = (each for each in arguments if isinstance(each, MicroBatch))
    return f"{micro_batch.name} pass"


# Module and function, in the order in which a step comes to them. A phase's time leaves out that of phases called within.
PHASES: dict[str, PhaseOf] = {
    "grpo.sampler.prefill": "prefill",
    "grpo.step.sample_training": "decode",
    "grpo.step.completions_of": "scoring",
    "grpo.step.score_completions": "scoring",
    "grpo.step.reference_logprobs": "reference",
    "grpo.update.forward_backward": pass_name,
    "grpo.update.clip_gradients": "optimizer",
    "grpo.adamw.AdamW.step": "optimizer",
    "runs.reporting.Reporter.step": "logging",
}


class MissedPhase(Exception):
    """A function that is to be timed is not there, or is not the one that runs."""


def phases_of(config: ResolvedExperiment) -> dict[str, PhaseOf]:
    """PHASES, but for the reference where the KL has no weight."""
    return {path: phase for path, phase in PHASES.items() if config.beta or phase != "reference"}


def owner_of(path: str) -> tuple[Any, str]:
    """What holds the function, a module or a class in one, and its name there. Raises MissedPhase."""
    module, *names = path.split(".")
    owner: Any = import_module(module)
    for name in names[:-1]:
        owner = getattr(owner, name, None) or import_module(f"{owner.__name__}.{name}")
    if not hasattr(owner, names[-1]):
        raise MissedPhase(f"{path} does not exist: PHASES in bench/timers.py names the functions that are timed")
    return owner, names[-1]


@contextmanager
def timed_phases(phases: Mapping[str, PhaseOf], device: torch.device) -> Iterator[dict[str, float]]:
    """Seconds by phase, counted up within. Raises MissedPhase at the end where a function was not called."""
    seconds: dict[str, float] = {}
    calls = dict.fromkeys(phases, 0)
    nested: list[float] = []  # seconds of the phases within each phase that is running

    def timing(path: str, phase_of: PhaseOf, function: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(function)
        def timed(*arguments: Any, **named: Any) -> Any:
            calls[path] += 1
            phase = phase_of if isinstance(phase_of, str) else phase_of(*arguments, **named)
            nested.append(0.0)
            start = now(device)
            try:
                return function(*arguments, **named)
            finally:
                elapsed = now(device) - start
                seconds[phase] = seconds.get(phase, 0.0) + elapsed - nested.pop()
                if nested:
                    nested[-1] += elapsed

        return timed

    with ExitStack() as restore:
        for path, phase_of in phases.items():
            owner, name = owner_of(path)
            function = getattr(owner, name)
            restore.callback(setattr, owner, name, function)
            setattr(owner, name, timing(path, phase_of, function))
        yield seconds
    if missed := [path for path, count in calls.items() if not count]:
        raise MissedPhase(f"never called: {', '.join(missed)}; PHASES in bench/timers.py must name what the engine calls")


def now(device: torch.device) -> float:
    """Seconds, once the device has nothing left to do."""
    synchronize(device)
    return time.perf_counter()
