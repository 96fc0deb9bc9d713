"""Changes of what a sweep's answer is: the measures, their intervals, who is compared with whom, and what is concluded."""

from tests.mutations.change import changes_of

ANSWER = [
    *changes_of(
        "records/measures.py",
        "tests/records/test_measures.py",
        ("hack-removed-against-forget", "HACKED, (BOTH, RETAIN_ONLY), of", "HACKED, (BOTH, FORGET_ONLY), of"),
        ("gain-of-the-hack", "TASK, (RETAIN_ONLY, BASE), of_learnt=True)", "HACKED, (RETAIN_ONLY, BASE), of_learnt=True)"),
        ("hack-left-against-both", "HACKED, (RETAIN_ONLY, BASE)),", "HACKED, (RETAIN_ONLY, BOTH)),"),
        ("contained-the-other-way", "HACKED, (FORGET_ONLY, RETAIN_ONLY)),", "HACKED, (RETAIN_ONLY, FORGET_ONLY)),"),
        ("share-of-the-level", "LEARNT = (BOTH, BASE)", "LEARNT = (BOTH, BOTH)"),
        ("share-of-noise", "gain is not None and is_above_noise(gain)", "gain is not None"),
    ),
    *changes_of(
        "records/estimates.py",
        "tests/records/test_estimates.py",
        ("t-of-ninety-percent", "stdtrit(n - 1, 0.975)", "stdtrit(n - 1, 0.95)"),
        ("t-with-a-degree-too-many", "stdtrit(n - 1, 0.975)", "stdtrit(n, 0.975)"),
        ("bootstrap-of-ninety-percent", "[0.025, 0.975])", "[0.05, 0.95])"),
        ("spread-not-by-the-root-of-n", "spread / math.sqrt(len(present))", "spread / len(present)"),
        ("noise-of-one-standard-error", "NOISE = 1.96", "NOISE = 1.0"),
    ),
    *changes_of(
        "sweeps/answer.py",
        "tests/sweeps/test_answer.py",
        ("seeds-not-paired", "pairs = [(measures_of(runs[seed].outcomes), measures_of(others[seed].outcomes)) for seed in seeds]",
         "pairs = [(measures_of(runs[seed].outcomes), measures_of(others[other].outcomes)) "
         "for seed, other in zip(seeds, reversed(seeds))]"),
        ("a-seed-without-a-share-left-out", "Estimate(None, None, len(row)) if None in row else over", "over"),
        ("control-minus-routed", "minus(one[name], other[name])", "minus(other[name], one[name])"),
        ("masks-at-unequal-rules", "first.rule is not None and first.rule == second.rule", "first.rule is not None"),
        ("a-control-opens-an-answer", "runs[0].kind == ROUTED and stands_alone(runs, sweep.runs)]", "runs[0].kind == ROUTED]"),
    ),
    *changes_of(
        "records/ceiling.py",
        "tests/records/test_ceiling.py",
        ("the-ceiling-cut", "UNHACKABLE: [BOTH]", "UNHACKABLE: [RETAIN_ONLY]"),
        ("routed-deployed-uncut", "ROUTED: [RETAIN_ONLY]", "ROUTED: [BOTH]"),
        ("share-of-the-ceiling-s-level", "minus(mean_of(trained, BOTH, TASK), mean_of(trained, BASE, TASK))",
         "mean_of(trained, BOTH, TASK)"),
        ("share-of-the-ceiling-s-noise", "if is_learnt(trained, TASK) else None", ""),
        ("hack-over-the-ceiling-s-base", "mean_of(trained, BOTH, HACKED)", "mean_of(trained, BASE, HACKED)"),
    ),
    *changes_of(
        "sweeps/frontier.py",
        "tests/sweeps/test_frontier.py",
        ("a-seed-against-the-first-ceiling", "ceilings[run.seed])", "[*ceilings.values()][0])"),
        ("seeds-not-paired-on-the-frontier", "routed.by_seed[name][i], control.by_seed[name][j]",
         "routed.by_seed[name][i], control.by_seed[name][len(places) - 1 - j]"),
        ("more-hack-in-favour", "hack == BELOW or task == ABOVE", "hack == ABOVE or task == ABOVE"),
        ("a-trade-beats", "if is_better and is_worse:", "if False:"),
        ("kept-by-the-interval-s-upper-end", "share.interval[0] >= KEPT", "share.interval[1] >= KEPT"),
        ("another-reward-s-ceiling", 'config.get("reward"), (', '"", ('),
        ("a-ceiling-with-other-settings", "is_twin(runs, routed), is_matched(runs, routed)", "is_twin(runs, routed), True"),
        ("a-ceiling-that-is-no-twin", "(is_twin(runs, routed), is_matched", "(False, is_matched"),
        ("the-ceiling-as-a-control", "kind not in (ROUTED, UNHACKABLE) and", "kind not in (ROUTED,) and"),
    ),
]  # fmt: skip
