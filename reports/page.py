"""One page that works anywhere: libraries, charts and tables in a single file that fetches nothing."""

import json
import re
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import quote

import altair as alt
import itables
import jinja2
import vl_convert
from markupsafe import Markup

from configs.errors import UserError
from records.folder import write_whole
from reports.sections import Page

ASSETS = Path(__file__).with_name("assets")  # templates, styles and the page's own scripts
MARK = '<meta name="generator" content="small-rl report">'
SCRIPTS = ("state", "samples", "tables", "page", "series", "charts", "hover", "legend")  # the page's own
STYLES = ("page", "tables", "samples")


@cache
def vega_bundle() -> str:
    """Vega, Vega-Lite and the function that draws charts, of the version that Altair writes for, as a script may hold it."""
    version = ".".join(alt.SCHEMA_VERSION.removeprefix("v").split(".")[:2])
    code = vl_convert.javascript_bundle("window.vegaEmbed = vegaEmbed;", version)
    return code.replace("</script", "<\\/script").replace("<!--", "<\\!--")


@cache
def datatables_address() -> str:
    """The library of sorted tables as an address to import from, which may stand in a script and in single quotes there."""
    code = Path(itables.options.dt_bundle).read_text(encoding="utf-8")
    harmless = "".join(map(chr, range(33, 127))).translate(str.maketrans("", "", "%#'\\<")) + " "
    return "data:text/javascript," + quote(code, safe=harmless)


def embedded(value: Any) -> Markup:
    """JSON, in ASCII, that may stand in a script: no character in it can end the script, and numbers are numbers."""
    text = json.dumps(value, separators=(",", ":"), allow_nan=False)
    return Markup(text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026"))


def breakable(text: str) -> Markup:
    """A dotted or underscored name that may go on in the next line of a narrow column's header."""
    return Markup("<wbr>").join(re.split(r"(?<=[._/])(?=.)", text))


def render(page: Page) -> str:
    """The page as text; whatever the template is given is text, unless it is said to be markup."""
    looks = {"autoescape": True, "undefined": jinja2.StrictUndefined, "trim_blocks": True, "lstrip_blocks": True}
    templates = jinja2.Environment(loader=jinja2.FileSystemLoader(ASSETS), **looks)
    templates.filters |= {"embedded": embedded, "breakable": breakable}
    datatables = Path(itables.options.dt_bundle)
    style = "".join(path.read_text() for path in (datatables.with_suffix(".css"), *(ASSETS / f"{name}.css" for name in STYLES)))
    own = {f"{name}_script": (ASSETS / f"{name}.js").read_text() for name in SCRIPTS}
    scripts = {"vega": vega_bundle(), "datatables": datatables_address(), **own}
    libraries = {"mark": MARK, "style": style, **scripts}
    markup = {name: Markup(text) for name, text in libraries.items()}
    return templates.get_template("page.html.j2").render(**vars(page), **markup)


def check_replaceable(path: Path) -> None:
    """Raises UserError when something stands there that is not a report, or the folder does not exist."""
    if not path.parent.is_dir():
        raise UserError(f"{path}: there is no folder {path.parent}")
    if path.exists() and (not path.is_file() or MARK not in path.read_bytes()[:1000].decode(errors="replace")):
        raise UserError(f"{path}: exists and is no report, so it stays; --out FILE writes elsewhere")


def write_page(path: Path, page: Page) -> Path:
    """Replaces an earlier report, never anything else, and tells where."""
    text = render(page)
    check_replaceable(path)
    try:
        write_whole(path, lambda temporary: temporary.write_text(text, encoding="utf-8"))
    except OSError as error:
        raise UserError(f"{path}: cannot be written: {error.strerror}") from error
    return path
