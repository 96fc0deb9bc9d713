"""What the page of one run says."""

from records.figures import duration, mean, task_components, task_reward
from records.measures import MEASURES, has_measures, measures_over_samples
from records.names import BASE, MODES
from records.reader import Row, RunFiles
from records.relearning import THRESHOLD, sentences
from reports.charts import TRAINING
from reports.compare import flat
from reports.numbers import run_rows, with_step_zero
from reports.run_charts import CLASS_LINES, class_curves, run_curves, run_modes, run_relearning
from reports.run_tables import FLAGS, state_cell, training_seconds, words_of
from reports.sections import Page, Section, absence_note, bin_note, sample_section
from reports.tables import Cell, Table, flags_cell, interval_cell, number_cell, setting_cell, setting_text, shortened, text_cell
from reports.word_section import word_section

# Of a run's page: the name in metrics.jsonl, the chart's title and its axis. A reward's components follow.
CURVES = {
    **TRAINING,
    "entropy": ("Entropy", "nats a token"),
    "completions/mean_length": ("Length of completions", "tokens"),
    "completions/clipped_ratio": ("Cut at the length limit", "share of samples"),
    "frac_reward_zero_std": ("Groups without a reward difference", "share of groups"),
    "routing/routed": ("Routed", "share of samples"),
    "grad_norm": ("Gradient norm", "before clipping"),
}
FIGURES = {"unique": "unique", "jaccard": "mean Jaccard", "finished": "ended with EOS", "mean_length": "tokens",
           "nll_base": "nats, base", "kl_to_base": "KL to base"}  # fmt: skip

MODES_NOTE = """With 95 % bootstrap intervals over samples. Task reward: the mean of the reward's components that are not the \
hack's."""


CLASSES_NOTE = """Advantages of samples that are labelled good and bad, and of the good ones among retain rollouts. The cosine \
is between the gradients that good and bad samples bring to an adapter, before masks: above 0 they pull it the same way, and \
below 0 against one another."""


def run_metrics(row: Row) -> list[str]:
    """What a run's page draws of metrics.jsonl."""
    return [*CURVES, *CLASS_LINES, *(name for name in row if name.startswith("rewards/") and name.endswith("/mean"))]


def _curve_names(run: RunFiles) -> dict[str, tuple[str, str]]:
    """What there is to draw: {name: (title, axis)}; the reward's components where there are several."""
    parts = [name for name in run.metrics if name.startswith("rewards/")]
    titles = {name: (f"Component {shortened(name.split('/')[1], 34)}", "mean, unscaled") for name in parts if len(parts) > 1}
    return {name: CURVES[name] for name in CURVES if name in run.metrics} | titles


def curve_section(run: RunFiles) -> Section:
    names = _curve_names(run)
    chart = run_curves(run_rows(run, list(names)), names)
    note = bin_note(run.metrics.get("step", []), rest=", the band reaches from the lowest of them to the highest")
    absent = [name for name in TRAINING if all(value is None for value in run.metrics.get(name, []))]
    return Section("training", "Training", note, chart, missing=absence_note(absent) if chart else "no step has been trained")


def class_section(run: RunFiles) -> list[Section]:
    """None where no sample was labelled bad."""
    chart = class_curves(run_rows(run, list(CLASS_LINES)))
    return [Section("classes", "Good and bad samples: what they teach", CLASSES_NOTE, chart)] if chart else []


def ablation_section(run: RunFiles) -> Section:
    title, chart = "Ablation: the policy with adapters cut out, over training", run_modes(with_step_zero(run))
    if chart is None:
        return Section("ablation", title, missing="no evaluation during training")
    return Section("ablation", title, "Evaluations on held-out prompts; bands are 95 % bootstrap intervals over samples.", chart)


RELEARNING = "Relearning: does the hack stay out?"
RELEARNING_NOTE = """From the policy without its forget adapter, merged into the base, and from the base itself, a fresh adapter \
is trained, the bonus paid, until it hacks again; the dotted line is where it does."""


def relearning_section(run: RunFiles) -> list[Section]:
    """None where nothing was relearnt."""
    figures = {mode: run.final[mode] for mode in MODES if run.final.get(mode, {}).get(THRESHOLD) is not None}
    if not run.relearning or BASE not in figures:
        return []
    chart = run_relearning(run.relearning, figures[BASE][THRESHOLD])
    return [Section("relearning", RELEARNING, RELEARNING_NOTE, chart, sentences=sentences(figures))]


def latest(run: RunFiles) -> dict[str, Row]:
    """The newest evaluation by mode, in the order of `MODES`: the final one, with its rows' intervals, or the last so far."""
    rows = {row["mode"]: row for row in run.evaluations}
    for mode, final in run.final.items():
        row = rows.get(mode, {})
        same = (row.get("step"), row.get("samples")) == (final["step"], final.get("samples"))
        rows[mode] = row | final if same else final
    return {mode: rows[mode] for mode in MODES if mode in rows}


def mode_section(run: RunFiles) -> Section:
    modes, title = latest(run), "Modes at the end" if run.final else "Modes at the last evaluation"
    if not modes:
        return Section("modes", title, missing="no evaluation yet")
    rows = {mode: row | task_figures(run, row) for mode, row in modes.items()}
    parts = [f"rewards/{name}" for name in run.made_of["components"]]
    components = {
        name: name.removeprefix("rewards/") for name in parts if parts[1:] and any(name in row for row in rows.values())
    }
    means = {"task_reward": "task reward", "hacked": "hack rate", "reward": "reward", **components, "detected": "detected"}
    cells = [
        [text_cell(mode), number_cell(row["step"], 0), number_cell(row.get("samples"), 0),
         *(interval_cell(row.get(name), row.get(f"{name}/interval")) for name in means),
         *(number_cell(row.get(name)) for name in FIGURES),
         *(flags_cell({"yes": row.get(name)}) for name in FLAGS)]
        for mode, row in rows.items()
    ]  # fmt: skip
    header = ["mode", "step", "samples", *means.values(), *FIGURES.values(), *FLAGS.values()]
    return Section("modes", title, MODES_NOTE, table=Table("modetable", header, cells))


def task_figures(run: RunFiles, row: Row) -> Row:
    """The task reward of an evaluation; with its interval where it is one component's, which has one."""
    interval = row.get(f"rewards/{components[0]}/interval") if len(components := task_components(run.made_of)) == 1 else None
    return {"task_reward": task_reward(run.made_of, row), "task_reward/interval": interval}


def measure_section(run: RunFiles) -> list[Section]:
    """None for a policy without two adapters, or before its final evaluation."""
    if not has_measures(run.outcomes):
        return []
    measures = measures_over_samples(run.outcomes)
    cells = [
        [text_cell(name.replace("_", " ")), interval_cell(estimate.value, estimate.interval), text_cell(MEASURES[name].title)]
        for name, estimate in measures.items()
    ]
    samples = max(estimate.n for estimate in measures.values())  # of hacks nothing is known where the reward has no detector
    title = "Is the hack cut out with the forget adapter, and what was learnt of the task kept?"
    note = f"With 95 % bootstrap intervals over {samples:,} samples, which say nothing of other seeds."
    return [Section("measures", title, note, table=Table("measuretable", ["measure", "value", "is"], cells, sortable=False))]


def run_facts(run: RunFiles) -> list[tuple[str, str | Cell]]:
    wanted = run.config.get("max_steps")
    return [
        ("state", state_cell(run)),
        ("step", f"{run.step:,}" + (f" of {wanted:,}" if wanted else "")),
        ("kind", run.kind),
        ("seed", setting_text(run.seed)),
        ("training time", duration(training_seconds(run))),
        ("s / step", number_cell(mean(run.step_times)).text),
        ("tokens", number_cell(run.tokens, 0).text),
        ("device", setting_text(run.made_of.get("device"))),
        *words_of(run),
    ]


def settings_section(run: RunFiles) -> Section:
    rows = [[text_cell(name), setting_cell(value)] for name, value in flat(run.config).items()]
    table = Table("settings", ["setting", "value"], rows, sortable=False)
    return Section("config", "Settings", table=table, folded=f"all {len(rows)} settings")


def run_page(run: RunFiles) -> Page:
    samples = sample_section([run])
    figures = [mode_section(run), *measure_section(run)]
    curves = [curve_section(run), *class_section(run), ablation_section(run), *relearning_section(run)]
    sections = [*figures, *curves, *word_section(run), samples, settings_section(run)]
    return Page("Run", run.name, run_facts(run), sections, run.error or "")
