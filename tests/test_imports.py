"""Imports run one way: doors -> reports -> sweeps; doors -> runs -> grpo -> models, routing, envs, which do not know one
another; all of them -> records -> configs. sweeps and reports meet runs on disk alone.

Every import statement counts, wherever in a file it stands.
"""

import ast
import graphlib
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.helpers import STORIES

ROOT = Path(__file__).parents[1]
DOORS = {"launch", "sweep", "evaluate", "report"}
LEAVES = {"envs", "models", "routing"}
# What each package may import of the project, beside itself.
MAY_IMPORT = {
    "configs": {"grpo", "routing"},  # TABLES alone
    "records": {"configs"},
    **{leaf: {"configs", "records"} for leaf in LEAVES},
    "grpo": {"configs", "records", *LEAVES},
    "runs": {"configs", "records", *LEAVES, "grpo"},
    "sweeps": {"configs", "records"},
    "reports": {"configs", "records", "sweeps"},
    "plugins": {"configs", "envs"},
}
PACKAGES = {*MAY_IMPORT}
PLUGINS = "configs.sweeps.plugins"  # of shipped sweeps: written as a user's are, and no part of configs
SHOWS_A_PAGE = "runs.record"  # may import what writes pages, which a notebook asks a run's record for
# Where the names that options accept are the keys of dictionaries, and what a resolved setting is made of. No torch in them.
TABLES = {"grpo.advantages", "grpo.loss_terms", "grpo.schedules", "routing.modes", "routing.spec"}
WITHOUT_TORCH = [
    "configs.cli",
    "configs.naming",
    "envs",
    "envs.prepare",
    "records.folder",
    "records.reader",
    "records.signals",
    "sweeps.schedule",
    "sweeps.summary_text",
    "reports",
    "sweep",
    "report",
]


def module_name(path: Path, root: Path) -> str:
    parts = path.relative_to(root).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def package_of(module: str) -> str:
    return "plugins" if module.startswith(PLUGINS) else module.partition(".")[0]


def source_files(root: Path) -> Iterator[Path]:
    """Of the engine and its doors; tests are no part of it."""
    yield from sorted(path for path in root.glob("*.py"))
    for package in sorted({*PACKAGES, "bench"}):
        yield from sorted((root / package).rglob("*.py"))


def imports_of(path: Path, root: Path) -> set[str]:
    """Dotted names of what a file imports: `from a import b` counts as both a and a.b."""
    package = list(path.relative_to(root).parent.parts)
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            start = package[: len(package) - node.level + 1] if node.level else []
            base = ".".join([*start, *([node.module] if node.module else [])])
            found |= {base, *(f"{base}.{alias.name}" for alias in node.names)}
    return found


def is_forbidden(own: str, name: str) -> bool:
    """Whether a module of the package or door `own` may not import `name`."""
    top = package_of(name)
    if top == own:
        return False
    if own == "configs" and top in MAY_IMPORT["configs"]:
        return not any(name == table or name.startswith(f"{table}.") for table in TABLES)
    if top == "torch":
        return own in ("configs", "records", "envs", "sweeps", "reports")
    return top in DOORS or (own in MAY_IMPORT and top in PACKAGES - MAY_IMPORT[own])


def violations(root: Path) -> list[str]:
    """Imports against the rules, as `file: name`."""
    return [
        f"{path.relative_to(root)}: {name}"
        for path in source_files(root)
        for name in sorted(imports_of(path, root))
        if is_forbidden(package_of(module_name(path, root)), name)
        and not (module_name(path, root) == SHOWS_A_PAGE and name.partition(".")[0] == "reports")
    ]


def test_imports_run_one_way():
    assert violations(ROOT) == []


def test_the_files_of_the_engine_are_found():
    found = {module_name(path, ROOT) for path in source_files(ROOT)}
    assert {
        "launch",
        "configs.cli",
        "envs.rewards",
        "grpo.loss",
        "models.llama",
        "models.nursery.making.tokenizer",
        "routing",
        "reports.charts",
        "sweeps.backends.ray",
    } <= found


def test_no_module_imports_itself_by_a_detour():
    modules = {module_name(path, ROOT): path for path in source_files(ROOT)}
    graph = {name: imports_of(path, ROOT) & modules.keys() - {name} for name, path in modules.items()}
    assert sum(map(len, graph.values())) > len(DOORS) + len(PACKAGES)
    graphlib.TopologicalSorter(graph).prepare()  # raises CycleError


HEAVY = """
import importlib, sys
for module in sys.argv[1:]:
    importlib.import_module(module)
    print(module, *[name for name in ("torch", "transformers", "datasets") if name in sys.modules])
"""


def test_planning_and_scoring_need_no_torch():
    """Not even by way of something else that is imported. One process imports all of them, one after the other."""
    command = [sys.executable, "-c", HEAVY, *WITHOUT_TORCH]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == WITHOUT_TORCH


TRAINED = f"""
import sys
from models.nursery import generator
generator.TRAIN_STORIES, generator.TEST_STORIES = {STORIES["train"]}, {STORIES["test"]}
import launch
code = launch.main(sys.argv[2:])
print(code, *[name for name in sys.argv[1].split() if name in sys.modules])
"""
NOT_FOR_A_RUN = (
    "transformers datasets pyarrow wandb pandas scipy altair vl_convert jinja2 torch._dynamo torch._inductor sympy vaderSentiment"
)


def test_a_run_of_an_embedded_corpus_imports_nothing_that_it_does_not_need(tiny_words: Callable[..., list[str]]):
    command = [sys.executable, "-c", TRAINED, NOT_FOR_A_RUN, *tiny_words("--routing.enabled")]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.stdout.split() == ["0"], done.stderr


@pytest.mark.parametrize(
    ("file", "line", "expected"),
    [
        ("models/a.py", "import routing.adapters", ["routing.adapters"]),
        ("models/a.py", "def f():\n    import grpo", ["grpo"]),
        ("models/sub/a.py", "from envs import types", ["envs", "envs.types"]),
        ("routing/a.py", "from models.llama import Llama", ["models.llama", "models.llama.Llama"]),
        ("envs/a.py", "from torch import Tensor", ["torch", "torch.Tensor"]),
        ("envs/a.py", "import torch.nn as nn", ["torch.nn"]),
        ("envs/a.py", "from grpo.loss import policy_loss", ["grpo.loss", "grpo.loss.policy_loss"]),
        ("configs/a.py", "import envs", ["envs"]),
        ("configs/a.py", "from grpo.loss import policy_loss", ["grpo.loss", "grpo.loss.policy_loss"]),
        ("configs/a.py", "from grpo.loss_terms import LOSS_TYPES\nfrom routing.modes import ROUTING_MODES", []),
        ("configs/a.py", "if True:\n    import torch", ["torch"]),
        ("configs/sweeps/a.py", "import configs.sweeps.plugins.b", ["configs.sweeps.plugins.b"]),
        ("configs/sweeps/plugins/a.py", "import envs.rewards, configs.sweeps.plugins.b, configs.cli", []),
        ("configs/sweeps/plugins/a.py", "import grpo.loss", ["grpo.loss"]),
        ("grpo/a.py", "import sweeps", ["sweeps"]),
        ("grpo/a.py", "from launch import main", ["launch", "launch.main"]),
        ("bench/a.py", "import report", ["report"]),
        ("evaluate.py", "from launch import main", ["launch", "launch.main"]),
        ("grpo/a.py", "from runs import trainer", ["runs", "runs.trainer"]),
        ("runs/a.py", "import sweeps.plan", ["sweeps.plan"]),
        ("records/a.py", "from envs.types import Prompt", ["envs.types", "envs.types.Prompt"]),
        ("runs/a.py", "from reports import write_report", ["reports", "reports.write_report"]),
        ("runs/record.py", "from reports import write_report", []),
        ("sweeps/a.py", "from grpo import loss", ["grpo", "grpo.loss"]),
        ("sweeps/a.py", "from reports.page import render", ["reports.page", "reports.page.render"]),
        ("reports/a.py", "from runs.summary import summarize", ["runs.summary", "runs.summary.summarize"]),
        ("sweeps/a.py", "from grpo.run import Run", ["grpo.run", "grpo.run.Run"]),
        ("sweeps/a.py", "import torch", ["torch"]),
        ("sweeps/a.py", "from models import llama", ["models", "models.llama"]),
        ("models/a.py", "import models.llama\nfrom . import b\nfrom .c import d\nfrom configs.errors import UserError", []),
        ("models/sub/a.py", "from .. import routing\nfrom tokenizers import models", []),
        ("routing/a.py", "import torch, configs", []),
        ("grpo/a.py", "import envs, models, routing, configs, torch", []),
        ("sweeps/a.py", "from records.folder import read_rows\nimport configs.cli", []),
        ("reports/a.py", "from sweeps.summary import summarize_sweep\nfrom records import names", []),
        ("runs/a.py", "import envs, models, routing, configs, torch, grpo, records", []),
        ("launch.py", "import grpo.run, configs.cli, sweeps, models", []),
    ],
)
def test_the_rules_tell_these_apart(tmp_path: Path, file: str, line: str, expected: list[str]):
    path = tmp_path / file
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(line + "\n")
    assert violations(tmp_path) == [f"{file}: {name}" for name in expected]
