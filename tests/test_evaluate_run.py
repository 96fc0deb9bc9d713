"""Where a run's folder is given in place of a checkpoint."""

import json
import shutil
from pathlib import Path

import evaluate


def test_of_a_run_its_last_checkpoint_is_taken_and_said(checkpoint, capsys):
    folder = checkpoint("routed")
    (folder.parent / "checkpoint-10.tmp").mkdir()
    said = f"{folder.parent}: its last checkpoint, checkpoint-3\n"
    for words in (("--n_samples=4",), ("--prompt=the cat",), (f"--out={folder.parent / 'exported'}",)):
        door = ["export"] if "out" in words[0] else []
        assert evaluate.main([*door, f"--model_path={folder.parent}", *words]) == 0
        assert capsys.readouterr().err == said
    assert json.loads((folder / "evaluation.json").read_text())["step"] == 3
    assert (folder.parent / "exported" / "model.safetensors").is_file()


def test_a_run_without_a_checkpoint_and_a_sweep_are_refused_in_a_line(checkpoint, capsys):
    run: Path = checkpoint("routed").parent
    for folder in run.glob("checkpoint-*"):
        shutil.rmtree(folder)
    (sweep := run.with_name("a_sweep")).mkdir()
    (sweep / "sweep.json").write_text("{}")
    refused = {run: "is a run without a checkpoint so far", sweep: "is a sweep's folder; accepted is that of one of its runs"}
    for path, said in refused.items():
        assert evaluate.main(["--model_path", str(path)]) == 2
        assert capsys.readouterr().err == f"error: --model_path {path}: {said}\n"
