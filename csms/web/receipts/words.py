"""The texts of receipts in the languages of customers: English is the key, Bulgarian and German stand beside it.

One place for all of them. Knows no receipt.
"""

# ruff: noqa: RUF001 - Bulgarian is written in Cyrillic

from babel import Locale
from sqlalchemy import Connection, select

from csms.billing.models import customer
from csms.charging.display_texts import LANGUAGES, Language

_LOCALES: dict[Language, Locale] = {"en": Locale("en", "GB"), "bg": Locale("bg", "BG"), "de": Locale("de", "DE")}
NAMES: dict[Language, str] = {"en": "English", "bg": "Български", "de": "Deutsch"}

# In Bulgarian and in German, by the English text.
TEXTS: dict[str, tuple[str, str]] = {
    "Receipt": ("Разписка", "Quittung"),
    "Charge receipt": ("Разписка за зареждане", "Ladebeleg"),
    "COPY": ("КОПИЕ", "KOPIE"),
    "Date": ("Дата", "Datum"),
    "Desk": ("Каса", "Kasse"),
    "Served by": ("Обслужил", "Bedient von"),
    "Card": ("Карта", "Karte"),
    "Transaction": ("Зареждане №", "Ladevorgang"),
    "Station": ("Станция", "Ladestation"),
    "{}, connector {}": ("{}, конектор {}", "{}, Anschluss {}"),
    "Started": ("Начало", "Beginn"),
    "Ended": ("Край", "Ende"),
    "Unplugged": ("Изключен кабел", "Abgesteckt"),
    "Meter at start": ("Електромер в началото", "Zählerstand am Beginn"),
    "Meter at end": ("Електромер в края", "Zählerstand am Ende"),
    "First reading": ("Първо отчитане", "Erster Zählwert"),
    "Last reading": ("Последно отчитане", "Letzter Zählwert"),
    "Readings": ("Брой отчитания", "Zahl der Zählwerte"),
    "Tariff": ("Тарифа", "Tarif"),
    "Total": ("Общо", "Summe"),
    "Tax included": ("В т.ч. данък", "Darin enthaltene Steuer"),
    "Charged in all": ("Общо след корекции", "Insgesamt berechnet"),
    "Corrected to": ("Коригирано на", "Berichtigt auf"),
    "{} until {}": ("{} до {}", "{} bis {}"),
    "Balance before": ("Баланс преди", "Guthaben vorher"),
    "Balance after": ("Баланс след", "Guthaben nachher"),
    "Paid": ("Платено", "Bezahlt"),
    "Credit for charging": ("Кредит за зареждане", "Guthaben zum Laden"),
    "Prepaid credit. Tax is part of the price of charging; the receipt of each charge shows it.": (
        "Предплатен кредит. Данъкът е част от цената на зареждането и стои в разписката за всяко зареждане.",
        "Vorausbezahltes Guthaben. Die Steuer ist Teil des Ladepreises; der Beleg jedes Ladevorgangs weist sie aus.",
    ),
    "Prepaid credit. The amount includes {} of tax, due with this payment.": (
        "Предплатен кредит. Сумата включва {} данък, дължим с това плащане.",
        "Vorausbezahltes Guthaben. Der Betrag enthält {} Steuer, die mit dieser Zahlung fällig ist.",
    ),
    "Times: {}": ("Часове: {}", "Zeiten: {}"),
    "Sample": ("Отчет", "Messwert"),
    "Signed by the meter": ("Подписано от електромера", "Vom Zähler signiert"),
    "The meter signed {} of the readings; they can be had whole from the operator.": (
        "Електромерът е подписал {} от отчитанията; операторът ги предоставя изцяло.",
        "Der Zähler hat {} der Zählwerte signiert; der Betreiber gibt sie vollständig heraus.",
    ),
    "per": ("на", "pro"),
    # parts of a charge, and entries of the journal
    "Energy": ("Енергия", "Energie"),
    "Time": ("Време", "Zeit"),
    "Idle time": ("Престой", "Standzeit"),
    "Start fee": ("Начална такса", "Startgebühr"),
    "Free energy": ("Безплатна енергия", "Freie Energie"),
    "Up to the minimum": ("До минималната цена", "Bis zum Mindestpreis"),
    "Down to the maximum": ("До максималната цена", "Bis zum Höchstpreis"),
    "Card sold": ("Продадена карта", "Karte verkauft"),
    "Top-up": ("Зареждане на кредит", "Aufladung"),
    "Charging": ("Зареждане", "Laden"),
    "Charge corrected": ("Коригирана цена", "Abrechnung berichtigt"),
    # the page of the driver
    "Your charge": ("Вашето зареждане", "Ihr Ladevorgang"),
    "The car is still charging. The receipt is here when it has ended.": (
        "Автомобилът още се зарежда. Разписката ще бъде тук след края.",
        "Das Auto lädt noch. Der Beleg steht hier, sobald der Ladevorgang beendet ist.",
    ),
    "This charge is being checked. The receipt is here when that is done; nothing has been taken yet.": (
        "Зареждането се проверява. Разписката ще бъде тук след това; все още нищо не е удържано.",
        "Dieser Ladevorgang wird geprüft. Der Beleg steht hier, sobald das geschehen ist; abgebucht ist noch nichts.",
    ),
    "Nothing was charged.": ("Нищо не е удържано.", "Es wurde nichts berechnet."),
    "There is no such receipt. Please look at the link again: it is on the display after charging.": (
        "Няма такава разписка. Моля, проверете връзката: тя е на екрана след зареждането.",
        "Diesen Beleg gibt es nicht. Bitte prüfen Sie den Link: er steht nach dem Laden auf der Anzeige.",
    ),
    "Please try again in a minute.": (
        "Моля, опитайте отново след минута.",
        "Bitte versuchen Sie es in einer Minute noch einmal.",
    ),
    "Print": ("Печат", "Drucken"),
    "Save as PDF": ("Запази като PDF", "Als PDF speichern"),
    "Whoever has this address can see this receipt; it names nobody.": (
        "Всеки с този адрес може да види разписката; в нея няма имена.",
        "Wer diese Adresse hat, kann den Beleg sehen; er nennt niemanden.",
    ),
}


class Words:
    """The texts in one language."""

    def __init__(self, language: Language) -> None:
        """A text is asked for by its English."""
        self.language = language
        self._place = None if language == "en" else LANGUAGES.index(language) - 1

    def __call__(self, text: str, *values: object) -> str:
        """Return a text; one that is not in the table (a name of the day) stays English."""
        found = text
        if self._place is not None and text in TEXTS:
            found = TEXTS[text][self._place]
        return found.format(*values) if values else found


def locale_of(language: Language, reader: Locale) -> Locale:
    """Return how numbers and dates are written in a language; in English as the reader writes them."""
    return reader if language == "en" else _LOCALES[language]


def language_of(connection: Connection, account_id: int | None, otherwise: Language) -> Language:
    """Return the language of an account's customer, where it is known."""
    if account_id is None:
        return otherwise
    found = connection.execute(select(customer.c.language).where(customer.c.account_id == account_id)).scalar()
    return known(found) or otherwise


def known(text: str | None) -> Language | None:
    """Return the language that a text names, None where it is none of ours."""
    return next((one for one in LANGUAGES if one == text), None)


def preferred(accept_language: str, otherwise: Language) -> Language:
    """Return the first language of ours that a browser prefers."""
    for part in accept_language[:200].split(","):
        language = known(part.split(";")[0].strip().lower().partition("-")[0])
        if language is not None:
            return language
    return otherwise
