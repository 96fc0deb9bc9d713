"""One page that works anywhere: libraries, charts and tables in a single file that fetches nothing."""

import json
import re
from base64 import b64encode
from functools import cache
from pathlib import Path
from typing import Any

import altair as alt
import itables
import jinja2
import vl_convert
from markupsafe import Markup

from configs.errors import UserError
from records.folder import write_whole

HERE = Path(__file__).parent
MARK = '<meta name="generator" content="small-rl report">'
CHART_OPTIONS = {"renderer": "svg", "actions": {"export": True, "source": False, "compiled": False, "editor": False}}


@cache
def vega_bundle() -> str:
    """Vega, Vega-Lite and the function that draws charts, of the version that Altair writes for."""
    version = ".".join(alt.SCHEMA_VERSION.removeprefix("v").split(".")[:2])
    return script(vl_convert.javascript_bundle("window.vegaEmbed = vegaEmbed;", version))


def script(code: str) -> str:
    """JavaScript as an element of a page may hold it."""
    return code.replace("</script", "<\\/script").replace("<!--", "<\\!--")


def datatables_bundle() -> tuple[str, str]:
    """DataTables as the address of a module that holds its code, and its style sheet."""
    code = Path(itables.options.dt_bundle)
    address = "data:text/javascript;base64," + b64encode(code.read_bytes()).decode()
    return address, code.with_suffix(".css").read_text()


def embedded(value: Any) -> Markup:
    """JSON that may stand in a script: no character in it can end the script, and numbers are numbers."""
    text = json.dumps(value, separators=(",", ":"), allow_nan=False)
    for character, code in {"<": "\\u003c", ">": "\\u003e", "&": "\\u0026", "\u2028": "\\u2028", "\u2029": "\\u2029"}.items():
        text = text.replace(character, code)
    return Markup(text)


def breakable(text: str) -> Markup:
    """A dotted or underscored name that may go on in the next line of a narrow column's header."""
    return Markup("<wbr>").join(re.split(r"(?<=[._/])(?=.)", text))


@cache
def environment() -> jinja2.Environment:
    """Templates of this folder; whatever they are given is text, unless it is said to be markup."""
    loader = jinja2.FileSystemLoader(HERE)
    made = jinja2.Environment(
        loader=loader, autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    made.filters |= {"embedded": embedded, "breakable": breakable}
    return made


def render(**content: Any) -> str:
    """The page as text. `content` is what page.html.j2 names."""
    address, style = datatables_bundle()
    return (
        environment()
        .get_template("page.html.j2")
        .render(
            **content,
            mark=Markup(MARK),
            style=Markup(style + (HERE / "page.css").read_text()),
            vega=Markup(vega_bundle()),
            datatables=Markup(address),
            chart_options=CHART_OPTIONS,
        )
    )


def check_replaceable(path: Path) -> None:
    """Raises UserError when something stands there that is not a report, or the folder does not exist."""
    if not path.parent.is_dir():
        raise UserError(f"{path}: there is no folder {path.parent}")
    if not path.exists():
        return
    if not path.is_file() or MARK not in path.read_bytes()[:1000].decode(errors="replace"):
        raise UserError(f"{path}: exists and is no report, so it stays; --out FILE writes elsewhere")


def write_page(path: Path, text: str) -> Path:
    """Replaces an earlier report, never anything else."""
    check_replaceable(path)
    try:
        write_whole(path, lambda temporary: temporary.write_text(text, encoding="utf-8"))
    except OSError as error:
        raise UserError(f"{path}: cannot be written: {error.strerror}") from error
    return path
