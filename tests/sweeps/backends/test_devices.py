"""Which GPUs there are: those made visible, or those that the driver names."""

from pathlib import Path

import pytest

from sweeps.backends import devices


@pytest.mark.parametrize(
    ("visible", "expected"),
    [("0", ["0"]), ("2, 3", ["2", "3"]), ("", []), ("-1", []), ("1,-1,2", ["1"]), ("GPU-1a,MIG-2b", ["GPU-1a", "MIG-2b"])],
)
def test_visible_devices_are_those_that_there_are(monkeypatch: pytest.MonkeyPatch, visible: str, expected: list[str]):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    assert devices.gpus() == expected


@pytest.mark.parametrize(
    ("script", "expected"), [("echo 0; echo ' 1'; echo", ["0", "1"]), ("echo no driver; exit 9", []), (None, [])]
)
def test_the_driver_is_asked_for_devices(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, script: str | None, expected: list[str]
):
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    if script is not None:
        program = tmp_path / "nvidia-smi"
        program.write_text(f"#!/bin/sh\n{script}\n")
        program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert devices.gpus() == expected
