"""Changes of what is measured, logged and said."""

from tests.mutations.change import changes_of, setting

WRITES = setting("logging_steps save_steps eval_every eval.num_prompts eval.final_samples")

MEASURES = [
    *changes_of(
        "runs/evaluation.py",
        "tests/runs/test_evaluation.py",
        (
            "base-at-temperature-1",
            "run.config.sampling.temperature or 1.0",
            "1.0",
            "tests/runs/test_evaluation.py::test_the_distance_to_the_base_is_that_of_the_tokens_sampled",
        ),
        (
            "evaluated-as-if-all-eligible",
            "score_completions(run, completions, eligible)",
            "score_completions(run, completions)",
            "tests/runs/test_evaluation.py::test_an_evaluation_pays_as_training_does_and_says_what_all_would_earn",
        ),
        (
            "full-reward-is-the-reward",
            "scores.components, [True] * len(completions),",
            "scores.components, eligible,",
            "tests/runs/test_evaluation.py::test_an_evaluation_pays_as_training_does_and_says_what_all_would_earn",
        ),
        (
            "full-reward-logged-as-earned",
            '["reward_full"] = mean(full_rewards)',
            '["reward_full"] = mean(scores.rewards)',
            "tests/runs/test_evaluation.py::test_an_evaluation_pays_as_training_does_and_says_what_all_would_earn",
        ),
        (
            "full-reward-in-samples",
            '"reward_full": evaluation.full_rewards',
            '"reward_full": evaluation.scores.rewards',
            "tests/runs/test_evaluation.py::test_an_evaluation_pays_as_training_does_and_says_what_all_would_earn",
        ),
        (
            "draws-from-the-run-s-seed",
            'config.seed if config.eval.seed == "run" else config.eval.seed',
            "config.seed",
            setting("eval.seed"),
        ),
        (
            "eval-seed-run-ignored",
            'config.seed if config.eval.seed == "run"',
            '0 if config.eval.seed == "run"',
            setting("eval.seed"),
        ),
        (
            "kl-to-base-a-sample",
            "- sum(base_logprobs)) / len(logprobs)",
            "- sum(base_logprobs)) / len(rollout)",
            "tests/runs/test_evaluation.py::test_the_distance_to_the_base_is_that_of_the_tokens_sampled",
        ),
        (
            "kl-to-base-of-cut-samples",
            "/ len(logprobs) if is_whole else None",
            "/ len(logprobs)",
            setting("sampling.top_k"),
        ),
        (
            "cut-samples-as-if-of-the-whole",
            "mode == BASE and is_whole",
            "mode == BASE",
            "tests/runs/test_evaluation.py::test_the_base_s_own_samples_are_scored_only_where_they_are_not_of_its_whole_distribution",
        ),
        (
            "interval-of-90",
            "[0.025, 0.975]",
            "[0.05, 0.95]",
            "tests/runs/test_evaluation.py::test_the_interval_of_a_share_is_that_of_the_binomial",
        ),
        (
            "undetected-hacks-given",
            "share(both_hold(hacked, [not seen for seen in detected]))",
            "share(where(hacked, detected, wanted=False))",
            "tests/runs/test_evaluation.py::test_figures_by_hand",
        ),
        (
            "precision-is-recall",
            '["detector_precision"] = None if hacked is None else share(where(hacked, detected))',
            '["detector_precision"] = None if hacked is None else share(where(detected, hacked))',
            "tests/runs/test_evaluation.py::test_what_cannot_be_computed_is_none_and_never_zero",
        ),
        (
            "length-without-eos",
            "len(completion.token_ids) + completion.finished",
            "len(completion.token_ids)",
            "tests/runs/test_evaluation.py::test_figures_by_hand",
        ),
        (
            "collapse-without-the-given-base",
            "evaluations.get(BASE, base)",
            "evaluations.get(BASE)",
            "tests/runs/test_evaluation.py::test_template_collapse_is_of_the_base_given_or_of_the_one_evaluated",
        ),
        (
            "same-draws-on-the-second-round",
            "[i // len(prompts) for i in range(count)]",
            "[0 for i in range(count)]",
            "tests/runs/test_evaluation.py::test_prompts_come_in_order_and_again_with_other_draws",
        ),
        (
            "further-reward-is-the-run-s",
            "score_completions(replace(run, reward=reward), evaluation",
            "score_completions(run, evaluation",
            "tests/test_evaluate.py::test_figures_are_those_of_the_completions",
        ),
        (
            "hacked-from-the-detector",
            '["hacked"] = None if hacked is None else share(hacked)',
            '["hacked"] = None if hacked is None else share(detected)',
            "tests/runs/test_evaluation.py::test_what_cannot_be_computed_is_none_and_never_zero",
        ),
    ),
    *changes_of(
        "runs/metrics.py",
        "tests/runs/test_metrics.py",
        ("trained-reward-as-reward", '"reward": record.scores.rewards,', '"reward": record.trained_rewards.tolist(),'),
        (
            "reward-as-trained-reward",
            '"trained_reward": record.trained_rewards.tolist()',
            '"trained_reward": record.scores.rewards',
        ),
        (
            "undetected-hacks-given-in-training",
            "share(both_hold(hacked, [not seen for seen in detected]))",
            "share(where(hacked, detected, wanted=False))",
        ),
        ("labelled-is-detected", '"routing/labelled": share(labelled)', '"routing/labelled": share(detected)'),
        (
            "entropy-of-the-last-iteration",
            "list(update.iterations[0].passes.values())",
            "list(update.iterations[-1].passes.values())",
        ),
        ("loss-kl-zero-in-the-row", "if passes[0].kl is not None else None", "if passes[0].kl is not None else 0.0"),
        (
            "good-advantage-of-all",
            '"advantage/good": mean(where(advantages, labelled, wanted=False))',
            '"advantage/good": mean(advantages)',
        ),
        ("reward-std-over-the-batch", 'f"{name}_std": mean(spreads)', 'f"{name}_std": std(rewards)'),
    ),
    *changes_of(
        "runs/trainer.py",
        "tests/runs/test_trainer.py",
        (
            "collapse-between-without-base",
            "count, base.get(BASE))",
            "count)",
            "tests/runs/test_trainer.py::test_evaluations_between_compare_with_the_base",
        ),
        ("base-missing-between", "report_evaluation(reporter, trained | base,", "report_evaluation(reporter, trained,", WRITES),
        (
            "nothing-before-the-first-step",
            "start = base or evaluate_modes(run, modes_of(run), count)",
            "start = base",
            "tests/runs/test_trainer.py::test_full_fine_tuning_without_beta_has_one_mode_and_is_evaluated_before_the_first_step",
        ),
        (
            "blind-detector-not-said",
            'reporter.say(f"WARNING: {warning}")',
            "pass",
            "tests/runs/test_trainer.py::test_a_detector_that_sees_nothing_is_said_at_once_and_in_the_summary",
        ),
        (
            "blind-detector-not-in-the-summary",
            "metrics, warnings_at_start(run.config, start))",
            "metrics)",
            "tests/runs/test_trainer.py::test_a_detector_that_sees_nothing_is_said_at_once_and_in_the_summary",
        ),
        (
            "wandb-without-mode",
            'f"routing_eval/{mode}/{k}"',
            'f"routing_eval/{k}"',
            "tests/runs/test_trainer.py::test_wandb_has_each_step_and_each_evaluation_by_mode_at_the_last_step_before_it",
        ),
        (
            "wandb-evaluation-a-step-off",
            "step=max(step - 1, 0))",
            "step=step)",
            "tests/runs/test_trainer.py::test_wandb_has_each_step_and_each_evaluation_by_mode_at_the_last_step_before_it",
        ),
        ("final-samples-ignored", "config.eval.final_samples or count", "count", WRITES),
        (
            "all-evaluation-prompts",
            "min(config.eval.num_prompts, len(run.environment.eval_prompts))",
            "len(run.environment.eval_prompts)",
            WRITES,
        ),
    ),
    *changes_of(
        "runs/summary.py",
        "tests/runs/test_summary.py",
        (
            "warned-when-routed-alone",
            'config.treatment.name == "unrouted" and config.advantages == "group"',
            'config.treatment.name != "routed"',
        ),
        ("warned-when-all-is-seen", "recall < LEAST_RECALL:", "recall < 2:"),
        ("warned-below-a-half", "LEAST_RECALL = 0.05", "LEAST_RECALL = 0.5"),
        (
            "last-window-is-the-first",
            '"training": window_means(metrics, TRAINING)',
            '"training": window_means(metrics[:20], TRAINING)',
        ),
    ),
    *changes_of(
        "runs/reporting.py",
        "tests/runs/test_reporting.py",
        (
            "wandb-metrics-a-step-off",
            "step=record.step)",
            "step=record.step + 1)",
            "tests/runs/test_trainer.py::test_wandb_has_each_step_and_each_evaluation_by_mode_at_the_last_step_before_it",
        ),
        (
            "tokens-not-added-up",
            'int(self.metrics[-1]["num_tokens"] or 0) if self.metrics else 0',
            "0",
            "tests/runs/test_reporting.py::test_metrics_and_timing_have_every_step_and_samples_the_logged_ones",
        ),
    ),
    *changes_of(
        "reports/pareto.py",
        "tests/reports/test_pareto.py",
        ("pareto-line-from-minima", 'best="max(y)"', 'best="min(y)"'),
        ("pareto-line-of-what-hacks-more", 'alt.SortField("x")', 'alt.SortField("x", order="descending")'),
        ("base-on-the-pareto-line", "datum.m !== '{BASE}'", "datum.m !== ''"),
    ),
]
