"""`csms receipt`: show, write as PDF, list.

A receipt from a desk is named by its number (D1-000042), that of a charge by its transaction (17, or C17). Writing the
PDF is a print: from the second one on it says COPY.
"""

from pathlib import Path
from typing import Annotated, Literal
from zoneinfo import ZoneInfo

import msgspec
import typer

from csms import clock
from csms.billing.money import Currency, format_amount
from csms.billing.receipts import (
    DeskReceipt,
    Settlement,
    find_entry_id,
    find_receipt,
    list_receipts,
    masked,
    note_print,
)
from csms.charging.charge_receipts import ChargeReceipt, find_charge_receipt, transaction_of
from csms.charging.display_texts import Language
from csms.cli.desks import find_desk
from csms.cli.opening import opened
from csms.cli.output import Json, Limit, moment, say, show_facts, show_json, show_table
from csms.cli.refusals import Refusal, WrongArgument
from csms.installation import Installation
from csms.web.formatting import Formats, choose_locale
from csms.web.receipts.document import Document, heading_of, of_charge, of_desk
from csms.web.receipts.words import language_of, locale_of

commands = typer.Typer()


@commands.callback()
def group() -> None:
    """Receipts of desks and of charges."""


@commands.command()
def show(
    number: Annotated[str, typer.Argument(metavar="NUMBER", help="D1-000042, or the number of a transaction.")],
    pdf: Annotated[
        Path | None, typer.Option(help="Write the receipt as PDF into this file; this counts as a print.")
    ] = None,
    paper: Annotated[Literal["80 mm", "A4"], typer.Option(help="What the PDF is for.")] = "80 mm",
    *,
    as_json: Json = False,
) -> None:
    """Show a receipt, or write it as PDF."""
    with opened() as installation:
        with installation.database.unit_of_work() as connection:
            entry_id = find_entry_id(connection, number)
            transaction_id = transaction_of(number)
            one: DeskReceipt | ChargeReceipt | None = None
            if entry_id is not None:
                one = find_receipt(connection, entry_id)
            elif transaction_id is not None:
                one = find_charge_receipt(connection, transaction_id)
            if one is None:
                raise Refusal(f"There is no receipt {number}: D1-000042 is one of a desk, 17 that of a transaction.")
            printed = _printed_count(one)
            if pdf is not None and isinstance(one, DeskReceipt):
                printed = note_print(connection, one.entry_id)
            elif pdf is not None and isinstance(one, ChargeReceipt):
                printed = note_print(connection, one.settlement.entry_id, reference=one.one.transaction_id)
            account_id = one.account_id if isinstance(one, DeskReceipt) else one.settlement.account_id
            language = language_of(connection, account_id, installation.settings.language)
            document = _document(one, installation, language, is_copy=printed > 0)
            if pdf is not None:  # inside, so that a file that cannot be written counts no print
                _write(document, pdf, paper)
        if as_json:
            show_json(_as_json(one, document, installation))
        elif pdf is not None:
            say(f"Wrote the {'copy' if document.is_copy else 'original'} of receipt {document.code} into {pdf}.")
        else:
            _tell(document)


@commands.command("list")
def show_list(
    desk: Annotated[str, typer.Option(help="Only of the desk with this name.")] = "",
    limit: Limit = 1000,
    *,
    as_json: Json = False,
) -> None:
    """List the receipts of desks, the newest first."""
    with opened() as installation:
        with installation.database.reading() as connection:
            desk_id = find_desk(connection, desk).desk_id if desk else None
            found = list_receipts(connection, desk_id=desk_id, limit=limit)
        currency = installation.currency
        if as_json:
            show_json(
                [
                    {
                        "number": one.code,
                        "entry_id": one.entry_id,
                        "desk": one.desk,
                        "event": one.event,
                        "recorded_at": one.recorded_at,
                        "cashier": one.actor,
                        "id_tag": one.id_tag,
                        "amount": format_amount(one.cash_minor, currency),
                        "prints": one.printed_count,
                    }
                    for one in found
                ]
            )
            return
        zone = installation.settings.time_zone
        rows = [
            (
                one.code,
                moment(one.recorded_at, zone),
                one.event,
                one.desk,
                one.id_tag,
                one.actor,
                format_amount(one.cash_minor, currency),
            )
            for one in found
        ]
        show_table(("number", "time", "what", "desk", "card", "by", "paid"), rows, right=("paid",))


def _printed_count(one: DeskReceipt | ChargeReceipt) -> int:
    return one.printed_count if isinstance(one, DeskReceipt) else one.settlement.printed_count


def _document(
    one: DeskReceipt | ChargeReceipt, installation: Installation, language: Language, *, is_copy: bool
) -> Document:
    settings = installation.settings
    locale = locale_of(language, choose_locale(""))
    formats = Formats(locale, ZoneInfo(settings.time_zone), installation.currency, clock.now())
    heading = heading_of(settings.receipt_heading)
    if isinstance(one, DeskReceipt):
        return of_desk(one, formats, heading, is_copy=is_copy, language=language)
    return of_charge(one, formats, heading, is_copy=is_copy, language=language)


def _write(document: Document, pdf: Path, paper: Literal["80 mm", "A4"]) -> None:
    from csms.web.receipts.pdf import render

    try:
        pdf.write_bytes(render(document, paper))
    except OSError as error:
        raise WrongArgument(f"{pdf} cannot be written: {error.strerror or error}.") from None


def _tell(document: Document) -> None:
    for line in document.heading:
        say(line)
    say(f"{document.title} {document.code}{f' {document.copy_word}' if document.is_copy else ''}")
    show_facts([(fact.name, fact.value) for fact in document.facts])
    show_table(("for", "computed", "amount"), [(one.what, one.detail, one.amount) for one in document.lines])
    show_facts([(fact.name, fact.value) for fact in document.sums])
    for note in document.notes:
        say(note)


def _as_json(one: DeskReceipt | ChargeReceipt, document: Document, installation: Installation) -> dict[str, object]:
    currency = installation.currency
    shared: dict[str, object] = {"number": document.code, "copy": document.is_copy, "currency": currency.code}
    if isinstance(one, DeskReceipt):
        return shared | {
            "entry_id": one.entry_id,
            "desk": one.desk,
            "event": one.event,
            "recorded_at": one.recorded_at,
            "cashier": one.actor,
            "card": masked(one.printed_number),
            "amount": format_amount(one.cash_minor, currency),
            "tax": format_amount(one.tax_minor, currency),
            "balance_before": format_amount(one.balance_before_minor, currency),
            "balance_after": format_amount(one.balance_after_minor, currency),
        }
    return shared | _charge_as_json(one, currency) | _taken_as_json(one.settlement, currency)


def _charge_as_json(one: ChargeReceipt, currency: Currency) -> dict[str, object]:
    return {
        "transaction_id": one.one.transaction_id,
        "station": one.one.charge_point,
        "connector": one.one.connector_id,
        "card": masked(one.printed_number),
        "started_at": one.one.started_at,
        "ended_at": one.one.ended_at,
        "energy_wh": one.one.energy_wh,
        "meter_start_wh": one.one.meter_start_wh,
        "meter_stop_wh": one.one.meter_stop_wh,
        "readings": one.reading_count,
        "signed_values": len(one.signed),
        "signed": [msgspec.structs.asdict(each) for each in one.signed],
        "lines": [
            {
                "component": line.component,
                "quantity": line.quantity,
                "unit": line.unit,
                "rate": line.rate,
                "amount": format_amount(line.amount_minor, currency),
            }
            for line in one.lines
        ],
    }


def _taken_as_json(taken: Settlement, currency: Currency) -> dict[str, object]:
    return {
        "entry_id": taken.entry_id,
        "total": format_amount(taken.total_minor, currency),
        "tax": format_amount(taken.tax_minor, currency),
        "balance_before": format_amount(taken.balance_before_minor, currency),
        "balance_after": format_amount(taken.balance_after_minor, currency),
        "corrections": [
            {
                "entry_id": each.entry_id,
                "recorded_at": each.recorded_at,
                "amount": format_amount(each.amount_minor, currency),
                "tax": format_amount(each.tax_minor, currency),
            }
            for each in taken.later
        ],
        "total_in_all": format_amount(taken.in_all_minor, currency),
        "tax_in_all": format_amount(taken.tax_in_all_minor, currency),
    }
