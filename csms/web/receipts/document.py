"""What a receipt says, in words and written amounts: one document that the page and the PDF both show.

Made of what `billing.receipts` and `charging.charge_receipts` read; knows no request and no paper.
"""

import msgspec

from csms.billing.receipts import DeskReceipt, masked
from csms.charging.charge_receipts import ChargeReceipt
from csms.charging.display_texts import Language
from csms.web.formatting import DASH, Formats
from csms.web.receipts.words import Words
from csms.web.texts import words

_SIGNED_SHOWN = 2
_LONGEST_SIGNED = 120


class Line(msgspec.Struct, frozen=True):
    """One priced line: for what, how it was computed, and the amount."""

    what: str
    detail: str
    amount: str


class Fact(msgspec.Struct, frozen=True):
    """A name and its value."""

    name: str
    value: str
    strong: bool = False


class Document(msgspec.Struct, frozen=True):
    """A receipt, ready to be shown."""

    title: str
    code: str
    heading: tuple[str, ...]  # who gives it
    is_copy: bool
    facts: tuple[Fact, ...]
    lines: tuple[Line, ...]
    sums: tuple[Fact, ...]
    signed: tuple[Fact, ...]
    notes: tuple[str, ...]
    language: Language = "en"
    copy_word: str = "COPY"
    signed_word: str = "Signed by the meter"


def heading_of(setting: str) -> tuple[str, ...]:
    """Return who gives receipts, line by line."""
    return tuple(line.strip() for line in setting.split("|") if line.strip())


def of_desk(
    one: DeskReceipt, f: Formats, heading: tuple[str, ...], *, is_copy: bool, language: Language = "en"
) -> Document:
    """Write the receipt of a sale or a top-up in the customer's language."""
    say = Words(language)
    facts = [
        Fact(say("Receipt"), one.code),
        Fact(say("Date"), f.exactly(one.recorded_at)),
        Fact(say("Desk"), one.desk),
        Fact(say("Served by"), one.actor.removeprefix("staff ")),
    ]
    if one.printed_number:
        facts.append(Fact(say("Card"), masked(one.printed_number)))
    sums = [
        Fact(say("Balance before"), f.money(one.balance_before_minor)),
        Fact(say("Paid"), f.money(one.cash_minor), strong=True),
        Fact(say("Balance after"), f.money(one.balance_after_minor), strong=True),
    ]
    note = say("Prepaid credit. Tax is part of the price of charging; the receipt of each charge shows it.")
    if one.tax_minor:
        note = say("Prepaid credit. The amount includes {} of tax, due with this payment.", f.money(one.tax_minor))
    line = Line(say(words(one.event)), say("Credit for charging"), f.money(one.cash_minor))
    return Document(
        say("Receipt"),
        one.code,
        heading,
        is_copy,
        tuple(facts),
        (line,),
        tuple(sums),
        (),
        (note, say("Times: {}", f.zone_name)),
        language,
        say("COPY"),
        say("Signed by the meter"),
    )


def of_charge(
    one: ChargeReceipt, f: Formats, heading: tuple[str, ...], *, is_copy: bool, language: Language = "en"
) -> Document:
    """Write the receipt of a charge in the customer's language."""
    taken, say = one.settlement, Words(language)
    sums = [Fact(say("Total"), f.money(taken.total_minor), strong=True)]
    percent = "" if one.tariff is None else f" {f.number(one.tariff.tax_percent)} %"
    if taken.tax_minor:
        sums.append(Fact(f"{say('Tax included')}{percent}", f.money(taken.tax_minor)))
    sums += [
        Fact(say("Balance before"), f.money(taken.balance_before_minor)),
        Fact(say("Balance after"), f.money(taken.balance_after_minor), strong=True),
    ]
    sums += [
        Fact(f"{say(words(each.event))}, {f.moment(each.recorded_at)}", f.money(each.amount_minor, signed=True))
        for each in taken.later
    ]
    if taken.later:
        sums += [
            Fact(say("Charged in all"), f.money(taken.in_all_minor), strong=True),
            Fact(f"{say('Tax included')}{percent}", f.money(taken.tax_in_all_minor)),
        ]
    signed = tuple(
        Fact(f"{each.context or say('Sample')}, {f.exactly(each.happened_at)}", each.value[:_LONGEST_SIGNED])
        for each in (*one.signed[:1], *one.signed[1:][-(_SIGNED_SHOWN - 1) :])
    )
    notes = [say("Times: {}", f.zone_name)]
    if one.signed:
        text = "The meter signed {} of the readings; they can be had whole from the operator."
        notes.append(say(text, len(one.signed)))
    return Document(
        say("Charge receipt"),
        one.code,
        heading,
        is_copy,
        tuple(_charge_facts(one, f, say)),
        tuple(_charge_lines(one, f, say)),
        tuple(sums),
        signed,
        tuple(notes),
        language,
        say("COPY"),
        say("Signed by the meter"),
    )


def _charge_facts(one: ChargeReceipt, f: Formats, say: Words) -> list[Fact]:
    transaction = one.one
    place = transaction.charge_point if one.site is None else f"{one.site}, {transaction.charge_point}"
    facts = [
        Fact(say("Receipt"), one.code),
        Fact(say("Transaction"), str(transaction.transaction_id)),
        Fact(say("Station"), say("{}, connector {}", place, transaction.connector_id)),
        Fact(say("Card"), masked(one.printed_number) if one.printed_number else DASH),
        Fact(say("Started"), f.exactly(transaction.started_at)),
        Fact(say("Ended"), f.exactly(transaction.ended_at)),
        Fact(say("Energy"), f.energy(transaction.energy_wh, 3), strong=True),
        Fact(say("Meter at start"), f.energy(transaction.meter_start_wh, 3)),
    ]
    if transaction.corrected_ended_at is not None:
        until = f.exactly(transaction.corrected_ended_at)
        corrected = say("{} until {}", f.energy(transaction.charged_energy_wh, 3), until)
        facts.insert(7, Fact(say("Corrected to"), corrected, strong=True))
    if transaction.unplugged_at is not None:
        facts.insert(6, Fact(say("Unplugged"), f.exactly(transaction.unplugged_at)))
    if transaction.meter_stop_wh is not None:
        facts.append(Fact(say("Meter at end"), f.energy(transaction.meter_stop_wh, 3)))
    if one.first_reading is not None and one.last_reading is not None:
        facts += [
            Fact(say("First reading"), f"{f.energy(one.first_reading[1], 3)}, {f.clock_time(one.first_reading[0])}"),
            Fact(say("Last reading"), f"{f.energy(one.last_reading[1], 3)}, {f.clock_time(one.last_reading[0])}"),
        ]
    facts.append(Fact(say("Readings"), str(one.reading_count)))
    if one.tariff is not None:
        facts.append(Fact(say("Tariff"), one.tariff.name))
    return facts


def _charge_lines(one: ChargeReceipt, f: Formats, say: Words) -> list[Line]:
    found = []
    for each in one.lines:
        name = say(words(each.component)) + (f", {each.band}" if each.band else "")
        unit = f" {each.unit}" if each.unit else ""
        per = f"/{each.unit}" if each.unit else ""
        detail = f"{f.number(each.quantity)}{unit} \N{MULTIPLICATION SIGN} {f.rate(each.rate)}{per}"
        found.append(Line(name, detail, f.money(each.amount_minor)))
    return found
