"""Pictures of what a run's folder tells."""

import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from records.folder import write_whole

# Okabe and Ito's colours, told apart by colour-blind readers too, each with a marker of its own.
STYLES: dict[str, dict[str, Any]] = {
    "both": {"color": "#0072B2", "marker": "o"},
    "policy": {"color": "#0072B2", "marker": "o"},
    "retain_only": {"color": "#009E73", "marker": "s"},
    "forget_only": {"color": "#D55E00", "marker": "^"},
    "base": {"color": "#555555", "marker": "", "linestyle": "--"},
}
PANELS = {"reward": "mean reward", "hacked": "hack rate"}


def plot_modes(rows: Sequence[dict[str, Any]], title: str, step: int, path: Path) -> None:
    """Reward and hack rate by mode over training, from the rows of routing_eval.jsonl, with their bootstrap intervals.

    What could not be computed has no curve, and a panel without curves is left out. A vertical line marks `step`.
    """
    panels = {name: label for name, label in PANELS.items() if any(row[name] is not None for row in rows)}
    figure = Figure(figsize=(5.5 * len(panels), 4.2), layout="constrained")
    axes = figure.subplots(1, len(panels), squeeze=False)[0]
    for panel, (name, label) in zip(axes, panels.items(), strict=True):
        for mode in STYLES:
            draw_mode(panel, [row for row in rows if row["mode"] == mode and row[name] is not None], mode, name)
        panel.axvline(step, color="#BBBBBB", linestyle=":", zorder=0, label="this checkpoint")
        panel.set(xlabel="step", ylabel=label)
        panel.grid(alpha=0.25)
        panel.spines[["top", "right"]].set_visible(False)
    handles, labels = axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=len(labels), frameon=False)
    figure.suptitle(textwrap.fill(title, 60 * len(panels), break_on_hyphens=False), fontsize=10)
    write_whole(path, lambda temporary: figure.savefig(temporary, format="png", dpi=150))


def draw_mode(axes: Axes, rows: Sequence[dict[str, Any]], mode: str, name: str) -> None:
    """One line with its band; none without rows."""
    if not rows:
        return
    style = STYLES[mode]
    steps = [row["step"] for row in rows]
    low, high = zip(*(row[f"{name}/interval"] for row in rows), strict=True)
    axes.plot(steps, [row[name] for row in rows], label=mode, markersize=4, **style)
    axes.fill_between(steps, low, high, color=style["color"], alpha=0.15, linewidth=0)
