"""What wandb is told of a run, read from real wandb runs in its folder."""

import html
import json
import struct
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from wandb.proto.wandb_internal_pb2 import Record

from configs.experiment import Experiment
from grpo.run import prepare
from records.folder import RunFolder, create
from runs.tracking import tracking

SCRIPT = "<script>alert(1)</script>"
SAMPLE = {"prompt": 'said\n"no" &', "completion": SCRIPT, "reward": 1.0, "advantage": 0.5}


def test_a_disabled_wandb_run_is_none(tmp_path: Path, tiny: Callable[..., Experiment]):
    with tracking(prepare(tiny()), RunFolder(tmp_path)) as tracker:
        assert tracker is None
    assert not list(tmp_path.iterdir())


def wandb_records(file: Path) -> list[Record]:
    """A .wandb file is a LevelDB log: after 7 bytes of header, pieces of records in blocks of 32 KB."""
    data, at, message, records = file.read_bytes(), 7, b"", []
    while at < len(data):
        if (left := 32_768 - at % 32_768) < 7:
            at += left
            continue
        _, length, kind = struct.unpack_from("<IHB", data, at)
        at += 7
        message += data[at : at + length]
        at += length
        if kind in (1, 4):  # whole, or a last piece
            records.append(Record.FromString(message))
            message = b""
    return records


def whole_records(folder: Path) -> list[Record]:
    """Of the one offline run in there, once wandb's own process has written them, which may take longer than finish() does."""
    (file,) = folder.glob("wandb/offline-run-*/run-*.wandb")
    for _ in range(100):
        records = wandb_records(file)
        if any(record.HasField("exit") for record in records):
            return records
        time.sleep(0.1)
    raise AssertionError(f"{file} has no end")


def history_of(records: list[Record]) -> list[dict[str, Any]]:
    """One row a wandb step."""
    rows = [record.history.item for record in records if record.HasField("history")]
    return [{item.key or "/".join(item.nested_key): json.loads(item.value_json) for item in items} for items in rows]


def test_a_wandb_run_lies_in_the_folder_has_its_name_and_shows_samples_escaped(tmp_path: Path, tiny: Callable[..., Experiment]):
    config = prepare(tiny(**{"wandb.mode": "offline", "num_generations": 2, "batch_size": 2}))
    folder = create(tmp_path / "happy_binary_s42", {}, {}, overwrite=False)
    with tracking(config, folder) as tracker:
        assert tracker is not None
        tracker.step({"step": 0, "reward": 0.625, "routing/hacked": None}, {"step": 0, "tokens_per_second": 2.0}, [SAMPLE])
    assert {path.name for path in tmp_path.iterdir()} == {"happy_binary_s42"}
    assert {path.name for path in folder.path.iterdir()} >= {"wandb"}

    records = whole_records(folder.path)
    (run,) = [record.run for record in records if record.HasField("run")][:1]
    assert (run.display_name, run.project) == ("happy_binary_s42", "small-rl")
    (exit_code,) = [record.exit.exit_code for record in records if record.HasField("exit")]
    assert exit_code == 0
    (logged,) = history_of(records)
    assert logged["reward"] == 0.625
    assert logged["tokens_per_second"] == 2.0
    assert "routing/hacked" not in logged  # None is left out

    (panel,) = folder.path.glob("wandb/offline-run-*/files/media/html/sample_text_*.html")
    shown = panel.read_text()
    assert html.escape(SCRIPT) in shown
    assert "<script" not in shown
    assert "said\n&quot;no&quot; &amp;" in shown
