"""Changes of relearning: what it begins with, how it trains, where it ends, and what a sweep makes of it."""

from tests.mutations.change import changes_of

OF_RUNS, OF_RECORDS, OF_SWEEPS = (f"tests/{room}/test_relearning.py" for room in ("runs", "records", "sweeps"))

RELEARNING = [
    *changes_of(
        "runs/relearning.py",
        OF_RUNS,
        (
            "relearns-with-forget",
            "return merged(run, start)",
            'return merged(run, "both" if run.config.adapter_kind == "dual_lora" else start)',
        ),
        ("relearns-from-the-policy-as-base", "copy.deepcopy(run.reference)", "copy.deepcopy(run.policy)"),
        ("relearning-rounds-the-base", 'model_dtype="float32"', "model_dtype=config.model_dtype"),
        ("relearning-routes", 'treatment=Treatment("unrouted", mode="none")', "treatment=config.treatment"),
        ("relearning-keeps-the-rule", 'advantages="group"', "advantages=config.advantages"),
        ("relearning-rate-falls", 'lr_schedule="constant", warmup_steps=0', "warmup_steps=0"),
        ("relearning-warms-up", 'lr_schedule="constant", warmup_steps=0', 'lr_schedule="constant"'),
        ("relearning-at-full-s-rate", "LR_ADAPTERS if config.adapter is None else config.lr", "config.lr"),
        ("unpaid-bonus-stays-unpaid", "config.env.eligible_fraction or 1.0", "config.env.eligible_fraction"),
        ("bonus-paid-to-all", "config.env.eligible_fraction or 1.0", "1.0"),
        ("relearns-above-the-threshold-alone", '["hacked"] >= threshold or', '["hacked"] > threshold or'),
        ("last-step-not-measured", "run.step == run.config.max_steps:", "run.step + EVERY > run.config.max_steps:"),
        ("relearning-of-all-samples", "min(MOST_SAMPLES, run.config.eval", "max(0, run.config.eval"),
        ("relearns-from-its-step", "fingerprint=digest, step=0", "fingerprint=digest, step=run.step"),
        ("relearning-keeps-the-fingerprint", "fingerprint=digest, step=0", "step=0"),
    ),
    *changes_of(
        "records/relearning.py",
        OF_RECORDS,
        ("threshold-half-of-the-policy-s", "for mode in LEARNT]))", "for mode in LEARNT[:1]])) / 2"),
        ("threshold-without-anything-learnt", "if is_learnt(by_mode, HACKED) else None", ""),
        ("bound-as-the-value", 'last["step"] if last["hacked"] >= threshold else None', 'last["step"]'),
    ),
    *changes_of(
        "sweeps/relearning.py",
        OF_SWEEPS,
        ("mean-of-those-that-relearnt", "if not steps or whole_mean(steps) is None", "if not any(steps)"),
        ("relearning-not-paired", "one - base for one, base in pairs", "one for one, base in pairs"),
        ("untried-counted-as-tried", "if row[THRESHOLD] is not None]\n    counts", "]\n    counts"),
    ),
    *changes_of(
        "reports/numbers.py",
        OF_SWEEPS,
        ("curve-of-the-survivors", 'frame[frame["x"] <= ends], ["hacked"', 'frame, ["hacked"'),
    ),
]
