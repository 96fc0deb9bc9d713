"""The files of a run's folder, of which records/folder.py says what they hold, and those of a sweep's (sweeps/plan.py)."""

CONFIG, MADE_OF, STATUS, LOG, LOCK = "config.yaml", "run.json", "status.json", "train.log", ".lock"
METRICS, TIMING, SAMPLES = "metrics.jsonl", "timing.jsonl", "samples.jsonl"
ROUTING_EVAL, EVALUATION_SAMPLES = "routing_eval.jsonl", "evaluation_samples.jsonl"
RELEARNING = "relearning.jsonl"
EVALUATION, EVALUATION_PICTURE, SUMMARY = "evaluation.json", "evaluation.png", "summary.json"
ROWS = (METRICS, TIMING, SAMPLES, ROUTING_EVAL, EVALUATION_SAMPLES, RELEARNING)  # of one row a line
CHECKPOINT = "checkpoint-"  # and the step
BASE_SAMPLES = ".base_samples"  # beside the folders of runs, which share it

PLAN, FAILURES, SUMMARY_ROWS, CONFIGS, LOGS = "sweep.json", "failures.jsonl", "summary.csv", "configs", "logs"
