"""A receipt as PDF: on a roll of 80 mm, as long as it needs to be, or on A4. Knows only the document and the paper.

The font is DejaVu Sans, which has Latin, Cyrillic, Greek and the euro sign; only the letters that are used go into the
file.
"""

import asyncio
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO
from pathlib import Path
from typing import Literal, get_args

from reportlab.lib.units import mm
from reportlab.lib.utils import simpleSplit
from reportlab.pdfbase import pdfmetrics
from reportlab.pdfbase.ttfonts import TTFont
from reportlab.pdfgen.canvas import Canvas

from csms.web.receipts.document import Document, Fact, Line

Paper = Literal["80 mm", "A4"]

PAPERS: tuple[Paper, ...] = get_args(Paper)

_FONTS = Path(__file__).parents[1] / "static/vendor"
_REGULAR, _BOLD = "DejaVuSans", "DejaVuSans-Bold"
_ROLL_WIDTH, _A4 = 80 * mm, (210 * mm, 297 * mm)
_LONGEST_ROLL = 3000 * mm
_LEADING = 1.32
_THREAD = ThreadPoolExecutor(1, thread_name_prefix="receipt")


def render(document: Document, paper: Paper) -> bytes:
    """Return the PDF's bytes; the same document on the same paper is the same text."""
    _register()
    if paper == "A4":
        return _draw(document, _A4[0], _A4[1], margin=25 * mm, size=10)
    used = _Sheet(Canvas(BytesIO()), _ROLL_WIDTH, _LONGEST_ROLL, margin=5 * mm, size=8)
    used.write(document)
    return _draw(document, _ROLL_WIDTH, _LONGEST_ROLL - used.y + 7 * mm, margin=5 * mm, size=8)


async def render_aside(document: Document, paper: Paper) -> bytes:
    """Return the same from a thread, since the event loop has no time for it; one at a time, as fonts are shared."""
    return await asyncio.get_running_loop().run_in_executor(_THREAD, render, document, paper)


def _register() -> None:
    for name, file in ((_REGULAR, "DejaVuSans-2.37.ttf"), (_BOLD, "DejaVuSans-Bold-2.37.ttf")):
        if name not in pdfmetrics.getRegisteredFontNames():
            pdfmetrics.registerFont(TTFont(name, str(_FONTS / file)))


def _draw(document: Document, width: float, height: float, *, margin: float, size: float) -> bytes:
    data = BytesIO()
    canvas = Canvas(data, pagesize=(width, height), invariant=True)
    canvas.setTitle(f"{document.title} {document.code}")
    canvas.setAuthor(document.heading[0] if document.heading else "")
    sheet = _Sheet(canvas, width, height, margin=margin, size=size)
    sheet.write(document)
    canvas.save()
    return data.getvalue()


class _Sheet:
    """A cursor that moves down a page, and to the next one where it is full."""

    def __init__(self, canvas: Canvas, width: float, height: float, *, margin: float, size: float) -> None:
        self.canvas = canvas
        self.left, self.right = margin, width - margin
        self.top, self.bottom = height - margin, margin
        self.size = size
        self.y = self.top

    def write(self, document: Document) -> None:
        """Write the whole document."""
        for number, text in enumerate(document.heading):
            self.text(text, bold=not number)
        if document.heading:
            self.space()
        self.text(f"{document.title} {document.code}", bold=True, larger=1.4)
        if document.is_copy:
            self.copy_mark(document.copy_word)
        self.space()
        for fact in document.facts:
            self.pair(fact)
        self.rule()
        for line in document.lines:
            self.line(line)
        self.rule()
        for fact in document.sums:
            self.pair(fact)
        if document.signed:
            self.rule()
            self.text(document.signed_word, bold=True)
            for fact in document.signed:
                self.text(fact.name, smaller=True)
                self.text(fact.value, smaller=True)
        self.rule()
        for note in document.notes:
            self.text(note, smaller=True)

    def text(self, text: str, *, bold: bool = False, larger: float = 1.0, smaller: bool = False) -> None:
        """Write a text over the whole width, in as many lines as it takes."""
        font, size = (_BOLD if bold else _REGULAR), self.size * (0.85 if smaller else larger)
        for part in _split(text, font, size, self.right - self.left):
            self._down(size)
            self.canvas.setFont(font, size)
            self.canvas.drawString(self.left, self.y, part)

    def pair(self, fact: Fact) -> None:
        """Write a name at the left and its value at the right."""
        font = _BOLD if fact.strong else _REGULAR
        room = self.right - self.left
        name_width = pdfmetrics.stringWidth(fact.name, _REGULAR, self.size) + self.size
        parts = _split(fact.value, font, self.size, max(room - name_width, room * 0.4))
        names = _split(fact.name, _REGULAR, self.size, max(room * 0.5, room - name_width))
        for number in range(max(len(parts), len(names))):
            self._down(self.size)
            if number < len(names):
                self.canvas.setFont(_REGULAR, self.size)
                self.canvas.drawString(self.left, self.y, names[number])
            if number < len(parts):
                self.canvas.setFont(font, self.size)
                self.canvas.drawRightString(self.right, self.y, parts[number])

    def line(self, line: Line) -> None:
        """Write what was paid for with its amount, and below how it was computed."""
        self.pair(Fact(line.what, line.amount))
        self.text(line.detail, smaller=True)

    def copy_mark(self, word: str) -> None:
        """Say that this is not the first print."""
        size = self.size * 1.8
        self._down(size * 1.3)
        self.canvas.setFont(_BOLD, size)
        width = pdfmetrics.stringWidth(word, _BOLD, size) + size
        self.canvas.rect(self.left, self.y - size * 0.35, width, size * 1.4)
        self.canvas.drawString(self.left + size / 2, self.y, word)

    def rule(self) -> None:
        """Draw a line across."""
        self._down(self.size * 0.5)
        self.canvas.setLineWidth(0.5)
        self.canvas.line(self.left, self.y, self.right, self.y)
        self.y -= self.size * 0.3

    def space(self) -> None:
        """Leave a little room."""
        self._down(self.size * 0.5)

    def _down(self, size: float) -> None:
        self.y -= size * _LEADING
        if self.y < self.bottom:
            self.canvas.showPage()
            self.y = self.top - size * _LEADING


def _split(text: str, font: str, size: float, width: float) -> list[str]:
    """Break a text at blanks, and a word that is too long for a line anywhere."""
    found: list[str] = []
    for part in simpleSplit(text, font, size, width) or [""]:
        rest = part
        while pdfmetrics.stringWidth(rest, font, size) > width and len(rest) > 1:
            fits = next(n for n in range(len(rest) - 1, 0, -1) if n == 1 or _fits(rest[:n], font, size, width))
            found.append(rest[:fits])
            rest = rest[fits:]
        found.append(rest)
    return found


def _fits(text: str, font: str, size: float, width: float) -> bool:
    return pdfmetrics.stringWidth(text, font, size) <= width
