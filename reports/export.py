"""What a page shows as files for papers and docs: its charts as pictures, its tables and sentences as Markdown."""

import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from configs.errors import UserError
from records.folder import write_whole
from reports.charts import Spec
from reports.opening import opened_panels
from reports.pictures import panel_picture, write_picture
from reports.sections import Page, Section
from reports.tables import Cell, Table

TABLES = "tables.md"
MARK = "<!-- small-rl report: tables and pictures -->"


def check_exportable(folder: Path) -> None:
    """Raises UserError for a folder that can not be made, and for one that holds anything and no earlier export."""
    if folder.exists() and not folder.is_dir():
        raise UserError(f"--export {folder}: is no folder")
    if not folder.absolute().parent.is_dir():
        raise UserError(f"--export {folder}: there is no folder {folder.parent}")
    if folder.is_dir() and any(folder.iterdir()) and not _is_export(folder):
        raise UserError(f"--export {folder}: holds something else than an earlier export, so it stays; accepted: a new folder")


def _is_export(folder: Path) -> bool:
    file = folder / TABLES
    return file.is_file() and file.read_text(encoding="utf-8", errors="replace").startswith(MARK)


def write_export(folder: Path, page: Page) -> None:
    """tables.md and a PNG for each panel, SECTION_PANEL.png. Those of an earlier export are replaced. Raises UserError."""
    check_exportable(folder)
    pictures = panel_pictures(page)
    try:
        folder.mkdir(exist_ok=True)
        for name in earlier_pictures(folder):
            (folder / name).unlink(missing_ok=True)
        text = page_markdown(page)
        write_whole(folder / TABLES, lambda temporary: temporary.write_text(text, encoding="utf-8"))
        for name, spec in pictures.items():
            write_picture(folder / name, spec)
    except OSError as error:
        raise UserError(f"--export {folder}: cannot be written: {error.strerror}") from error


def earlier_pictures(folder: Path) -> list[str]:
    """Those that an earlier export's tables.md names."""
    return re.findall(r"\]\(([\w.+-]+\.png)\)", (folder / TABLES).read_text(encoding="utf-8")) if _is_export(folder) else []


def panel_pictures(page: Page) -> dict[str, Spec]:
    """Specifications by name of file."""
    named = [
        (picture_name(section.name, opened.panel.name), panel_picture(opened))
        for section in page.sections
        for opened in opened_panels(page, section)
    ]
    assert len(dict(named)) == len(named), f"two panels have one name: {[name for name, _ in named]}"
    return dict(named)


def picture_name(section: str, panel: str) -> str:
    return re.sub(r"[^\w.+-]+", "-", f"{section}_{panel}") + ".png"


def page_markdown(page: Page) -> str:
    """The facts at its head, then each section's sentences, tables and pictures."""
    facts = [f"- {name}: {value if isinstance(value, str) else value.text}" for name, value in page.facts]
    head = [
        MARK,
        f"# {escaped(page.heading)}",
        "\n".join(map(escaped, facts)),
        *([escaped(page.problem)] if page.problem else []),
    ]
    return "\n\n".join([*head, *(part for section in page.sections for part in section_markdown(section))]) + "\n"


def section_markdown(section: Section) -> Iterator[str]:
    """None for one of samples or of failed attempts."""
    if not (section.sentences or section.table or section.charts):
        return
    yield f"## {escaped(section.title)}"
    if section.note:
        yield escaped(section.note)
    if section.sentences:
        yield "\n".join(f"- {escaped(sentence)}" for sentence in section.sentences)
    if section.table:
        yield table_markdown(section.table)
    if section.charts:
        for panel in section.charts.panels:
            yield f"![{escaped(panel.title)}]({picture_name(section.name, panel.name)})"
        if section.charts.notes:
            yield "\n".join(f"- {escaped(note)}" for note in section.charts.notes)
    if section.missing:
        yield escaped(section.missing)


def table_markdown(table: Table) -> str:
    """Columns that have a caption in common are named by both: `hack rate: both`."""
    captions = [caption for caption, count in table.groups for _ in range(count)] or [""] * len(table.header)
    header = [escaped(": ".join(filter(None, names))) for names in zip(captions, table.header, strict=True)]
    rule = ["---:" if i in table.numeric else "---" for i in range(len(header))]
    return "\n".join(map(_line, [header, rule, *([cell_markdown(cell) for cell in row] for row in table.rows)]))


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def cell_markdown(cell: Cell) -> str:
    """`0.250 [0.100, 0.400] (n = 3 seeds)`. What the page cuts short is said in full."""
    text = cell.title if "…" in cell.text else cell.text
    interval = f" [{', '.join(cell.interval)}]" if cell.interval else ""
    return escaped(text + interval + (f" ({cell.more})" if cell.more else ""))


def escaped(text: str) -> str:
    """What Markdown would take for markup, or for the end of a cell, as it is."""
    return re.sub(r"([\\|*<`])", r"\\\1", " ".join(text.split()))
