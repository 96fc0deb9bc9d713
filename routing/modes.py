"""What the adapters are called, which of them learns from which samples, and what their scales are. Needs no torch."""

from records.names import BASE, BOTH, FORGET_ONLY, POLICY, RETAIN_ONLY

RETAIN, FORGET, LORA = "retain", "forget", "lora"
GOOD, BAD, RETAIN_ROLLOUT = "good", "bad", "retain_rollout"  # classes of samples
Learners = frozenset[str] | None  # adapters that learn; None: whatever is trainable; empty: the samples are dropped

# By mode and class of samples. The modes of routing, and below them the treatments that route as well.
ROUTING_MODES: dict[str, dict[str, Learners]] = {
    "classic": {GOOD: frozenset({RETAIN, FORGET}), BAD: frozenset({FORGET})},
    "exclusive": {GOOD: frozenset({RETAIN}), BAD: frozenset({FORGET})},
    "none": {GOOD: None, BAD: None},
}
LEARNS = ROUTING_MODES | {"filter": {GOOD: None, BAD: frozenset()}}

# Scales by kind of adapter and mode of evaluation. BASE is the model before training.
MODES: dict[str, dict[str, dict[str, float]]] = {
    "dual_lora": {
        BOTH: {RETAIN: 1.0, FORGET: 1.0},
        RETAIN_ONLY: {RETAIN: 1.0, FORGET: 0.0},
        FORGET_ONLY: {RETAIN: 0.0, FORGET: 1.0},
        BASE: {RETAIN: 0.0, FORGET: 0.0},
    },
    "lora": {POLICY: {LORA: 1.0}, BASE: {LORA: 0.0}},
    "none": {POLICY: {}, BASE: {}},
}
RETAIN_SCALES = MODES["dual_lora"][RETAIN_ONLY]  # of retain rollouts, in sampling and in training
