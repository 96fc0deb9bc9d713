"""Which backend a sweep gets, and whether its options make sense."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from configs.errors import UserError
from sweeps.backends import mps
from sweeps.backends.devices import gpus
from sweeps.backends.local import Local, cpu_slots, needs_gpu
from sweeps.backends.ray import RayCluster
from sweeps.memory import Memory, free_memory, peaks_of
from sweeps.plan import Plan

Backend = Local | RayCluster  # of the same methods, of which Local says what they do; a handle stands for an attempt


@dataclass(frozen=True)
class ScheduleOptions:
    """How a plan is carried out; no result depends on it."""

    backend: str = "local"  # or "ray"
    address: str | None = None  # of the Ray cluster
    jobs: int | None = None  # at once on the CPU; None: as many as there are cores
    per_gpu: int = 1  # at once on a GPU
    mps: str | None = None  # "start", "require", "ignore"; None: check and say
    retries: int = 0  # of a failed run
    max_parallel: int | str | None = None  # runs at once in all; "memory": as many as fit; None: as there are slots


def check_schedule(plan: Plan, options: ScheduleOptions) -> None:
    """Raises UserError for options that have no effect together, and for runs that ask for one of the GPUs."""
    if options.address is not None and options.backend != "ray":
        raise UserError(f"--address {options.address}: has no effect without --backend ray")
    if options.jobs is not None and options.backend == "ray":
        raise UserError(f"--jobs {options.jobs}: has no effect with --backend ray, which fills the cluster")
    if options.max_parallel == "memory" and options.backend == "ray":
        raise UserError("--max_parallel memory: has no effect with --backend ray, whose machines have their own")
    if options.mps in ("start", "require") and not shares_gpus(plan, options):
        raise UserError(f"--mps {options.mps}: has no effect without several runs on a GPU of this machine (--per_gpu)")
    for run in plan.runs:
        if needs_gpu(run) and run.experiment.device != "cuda":
            raise UserError(f"--device {run.experiment.device}: a sweep hands out the GPUs itself; use cuda")


def shares_gpus(plan: Plan, options: ScheduleOptions) -> bool:
    """Whether several runs go onto one GPU of this machine."""
    return options.backend == "local" and options.per_gpu > 1 and any(map(needs_gpu, plan.runs))


def open_backend(plan: Plan, options: ScheduleOptions, say: Callable[[str], None], known: Mapping[str, int]) -> Backend:
    """`known` is the most memory that earlier runs of its kinds had, by "host" and "gpu"."""
    if options.backend == "ray":
        return RayCluster(options.address, options.per_gpu)
    on_gpu = sum(map(needs_gpu, plan.runs))
    devices = gpus() if on_gpu else []
    if on_gpu and not devices:
        raise UserError("--device cuda: no GPU was found here")
    if shares_gpus(plan, options):
        mps.ensure(options.mps, say)
    on_cpu = len(plan.runs) - on_gpu  # finished ones, too: a run's threads must not depend on how many are left
    memory = Memory(free_memory(devices), say, limits=options.max_parallel == "memory")
    local = Local(devices, options.per_gpu, cpu_slots(options.jobs, on_cpu), memory)
    memory.learn(peaks_of(known), local.room)
    return local
