"""How long each run of a sweep will take, by the runs that have finished: of this sweep, or before there are any, others."""

from contextlib import suppress

from configs.errors import UserError
from sweeps.costs import Costs, Signature, costs_of, median_costs, recorded_costs, run_seconds, signature_of
from sweeps.plan import Plan


class Expectations:
    """Learns from each run of the plan that finishes. A run of a kind that is not known is taken as those that are."""

    def __init__(self, plan: Plan):
        self.plan = plan
        self.runs = {run.name: run for run in plan.runs}
        self.kinds = {run.name: signature_of(run.experiment) for run in plan.runs}
        self.before = recorded_costs(plan.folder.parent, plan.folder, {*self.kinds.values()})
        self.learnt: dict[Signature, list[Costs]] = {}
        self.steps_done: dict[str, int] = {}  # when a run was taken up

    def begin(self, name: str, steps_done: int) -> None:
        self.steps_done[name] = steps_done

    def learn(self, name: str) -> None:
        with suppress(UserError):  # damaged files, for others to complain about
            if (costs := costs_of(self.plan.folder / name)) is not None:
                self.learnt.setdefault(self.kinds[name], []).append(costs)

    def seconds(self, name: str) -> float | None:
        """From the start of its process to its end; None while nothing is known."""
        costs = self.costs(self.kinds[name])
        return None if costs is None else run_seconds(costs, self.runs[name].experiment, self.steps_done.get(name, 0))

    def costs(self, kind: Signature) -> Costs | None:
        if kind in self.learnt:
            return median_costs(self.learnt[kind])
        others = [each for known in self.learnt.values() for each in known] or [*self.before.values()]
        return self.before.get(kind) or (median_costs(others) if others else None)
