"""A delivery of cards into stock: the file is read and shown, with everything that is wrong with it, before it counts.

One bad line imports nothing. The page hands the text of the file on, so that nothing is kept between looking and
importing.
"""

from zoneinfo import ZoneInfo

from sqlalchemy import Connection
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response

from csms.billing.cards import ImportCards, Imported, ImportProblem, NotImported, against
from csms.billing.reports import taken
from csms.billing.stock_file import StockFile, decode, read
from csms.web.forms import Form
from csms.web.visit import Visit

_SHOWN = 10


async def show(visit: Visit) -> Response:
    """Show the form that takes a file."""
    return _page(visit, None, "")


def _page(
    visit: Visit,
    file: StockFile | None,
    text: str,
    problems: tuple[ImportProblem, ...] = (),
    *,
    name: str = "",
    status: int = 200,
) -> Response:
    return visit.page(
        "accounting/card_import.html",
        status=status,
        file=file,
        text=text,
        name=name,
        problems=problems,
        bad_lines=len({one.line for one in problems}),
        first=() if file is None else file.cards[:_SHOWN],
    )


async def take(visit: Visit) -> Response:
    """Show what a file would import, or import it where that was seen and wanted."""
    form = Form(visit.fields)
    name = form.typed("file_name")[:100]
    text = decode(visit.file)
    if text is None:
        wrong = ImportProblem(1, "file", "The file is not text in UTF-8.")
        return _page(visit, StockFile((), (wrong,)), "", (wrong,), name=name, status=422)
    file = await run_in_threadpool(read, text, ZoneInfo(visit.portal.settings.time_zone))
    if form.typed("act") == "import" and not file.problems:
        return await _import(visit, file, text, name)

    def compare(connection: Connection) -> tuple[ImportProblem, ...]:
        tags, numbers = taken(connection, file.lines)
        return tuple(sorted((*file.problems, *against(file.lines, tags, numbers)), key=lambda one: one.line))

    problems = await visit.read(compare)
    return _page(visit, file, text, problems, name=name, status=422 if problems else 200)


async def _import(visit: Visit, file: StockFile, text: str, name: str) -> Response:
    outcome: Imported | NotImported = await visit.portal.engine.submit(ImportCards(file.cards, visit.staff.actor))
    if isinstance(outcome, NotImported):
        return _page(visit, file, text, outcome.problems, name=name, status=422)
    return visit.go("/cards", imported=outcome.count, again="yes" if outcome.repeated else "")
