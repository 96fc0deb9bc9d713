"""What `train` gives: a short account of the run, and its page."""

from collections.abc import Callable
from pathlib import Path

from runs.trainer import resume


def test_a_record_tells_folder_steps_and_the_modes_at_the_end(checkpoint: Callable[[str], Path]):
    folder = checkpoint("routed").parent
    record = resume(folder, quiet=True)
    lines = repr(record).splitlines()
    assert lines[0] == f"RunRecord({folder})"
    assert lines[1].split() == ["after", "3", "steps", "reward", "hacked"]
    figures = record.evaluation["forget_only"]
    assert [line.split() for line in lines[2:]][2] == ["forget_only", f"{figures['reward']:.3f}", f"{figures['hacked']:.3f}"]
    assert len(lines) == 2 + 4


def test_its_report_is_the_page_as_a_path_and_in_a_frame(checkpoint: Callable[[str], Path]):
    folder = checkpoint("lora").parent
    page = resume(folder, quiet=True).report()
    assert repr(page) == str(folder / "report.html")
    text = (folder / "report.html").read_text()
    shown = page._repr_html_()
    assert shown.startswith('<iframe srcdoc="&lt;!') and shown.count('"') == 4 and len(shown) > len(text)
