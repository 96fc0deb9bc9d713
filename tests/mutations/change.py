"""A small wrong change of one file, and the tests that have to notice it."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Change:
    """`search` occurs once in the file. `equivalent` says why no test can tell; such a change is not run."""

    name: str
    file: str
    search: str
    replacement: str
    tests: tuple[str, ...]  # files or node ids
    equivalent: str = ""

    def fault(self, root: Path) -> str | None:
        """Why the change can not be made to the tree in `root`."""
        path = root / self.file
        if not path.is_file():
            return f"there is no {self.file}"
        times = path.read_text().count(self.search)
        return None if times == 1 else f"{self.search!r} occurs {times} times in {self.file}"

    def apply(self, root: Path) -> None:
        path = root / self.file
        path.write_text(path.read_text().replace(self.search, self.replacement))


def changes_of(file: str, tests: str, *rows: tuple[str, ...]) -> list[Change]:
    """Rows of a name, what is searched for, its replacement, and its test where that is another one than the list's."""
    return [Change(name, file, search, replacement, tuple(own or (tests,))) for name, search, replacement, *own in rows]


def case(name: str) -> str:
    """A run of `tests/reference/cases.py` in both engines."""
    return f"tests/reference/test_engine.py::test_three_steps_are_those_of_the_plain_engine[{name}]"


def setting(names: str) -> str:
    """A row of the table of settings."""
    return f"tests/settings/test_table.py::test_a_setting_has_the_effect_that_it_names[{names}]"
