"""The sentences for what the rules call by a short name: refusals, states, events, flags.

One place for words that several pages show; texts of a single page stand in its template. Knows nothing else.
"""

from csms.web.formatting import DASH

WORDS: dict[str, str] = {
    # why a card was refused
    "unknown card": "This card is not known",
    "card not sold": "The card was never sold",
    "card blocked": "The card is blocked",
    "card lost": "The card was reported lost",
    "card expired": "The card has expired",
    "card retired": "The card was taken out of use",
    "no credit": "Not enough credit",
    "no tariff": "The station has no tariff",
    "staff only": "This station is for staff only",
    "not at this station": "The card may not be used at this station",
    "daily limit": "The day's limit is used up",
    "too many at once": "Too many cars charge on this account already",
    # why money was not booked
    "card not active": "This card is not active, so it cannot be topped up.",
    "card past its expiry": "This card has expired, so it cannot be topped up before its expiry is changed.",
    "card exists": "This card is sold already.",
    "printed number exists": "Another card has this printed number.",
    "amount not positive": "The amount must be more than zero.",
    "amount above the limit": "The amount is above what one top-up may be.",
    "balance above the limit": "The balance would rise above what one card may hold.",
    "id tag not valid": "An id tag has at most 20 letters and digits.",
    "change not allowed": "A card in this state cannot be changed like that.",
    "printed number missing": "This card is not in stock, so its printed number is needed.",
    "key used before": "This form was used for another amount before. Please begin again.",
    # journal events
    "card issued": "Card sold",
    "top up": "Top-up",
    "settle": "Charging",
    "adjustment": "Charge corrected",
    # states of transactions
    "open": "Charging",
    "orphaned": "No stop received",
    "ended": "Ended",
    # why nothing was charged
    "no energy": "No energy was drawn",
    "no account": "No card account",
    "nothing to charge": "Nothing to charge",
    "meter stop below meter start": "The meter stop is below the meter start",
    # why something waits for a person, and what was decided
    "implausible energy": "More energy than can have been delivered",
    "orphaned transaction": "Transaction without a stop",
    "unplugged before the stop": "Unplugged before the stop",
    "conflicting stop": "Two stops that contradict each other",
    "energy without an account": "Energy that nobody pays for",
    "defect": "Message that met a defect of ours",
    # kinds of messages in the log
    "message: call": "Call",
    "message: result": "Result",
    "message: error": "Error",
    "message: unreadable": "Unreadable",
    "message: gap": "Not kept",
    "waived": "Waived by a person",
    "choice: accept": "Accept the estimate",
    "choice: correct": "Charge another energy",
    "choice: waive": "Charge nothing",
    "choice: assign": "Charge a card",
    "choice: keep": "Leave the charge as it is",
    "decision: accept": "Estimate accepted",
    "decision: correct": "Energy corrected",
    "decision: waive": "Waived",
    "decision: assign": "Charged to a card",
    "decision: keep": "Left as it is",
    "decision: stop came": "The stop came",
    "unknown item": "There is no such item.",
    "resolved already": "Somebody has decided about this already.",
    "not possible here": "This cannot be decided here.",
    "reason missing": "Please give a reason, up to 300 characters.",
    "energy missing": "Please enter the energy.",
    "energy too much": "That is more than one transaction can be.",
    # purposes of charging profiles
    "ChargePointMaxProfile": "Limit of the whole station",
    "TxDefaultProfile": "Default for every transaction",
    "TxProfile": "One transaction",
    # what became of reservations, and of lists in stations
    "reservation: active": "Reserved",
    "reservation: unconfirmed": "Not answered",
    "reservation: refused": "Refused",
    "reservation: used": "Used",
    "reservation: cancelled": "Cancelled",
    "reservation: replaced": "Replaced",
    "reservation: expired": "Expired",
    "reservation: ended": "Ended by the station",
    "reservation: not known": "Not known there",
    "local list: not known": "Not known",
    "local list: in step": "In step",
    "local list: sending": "Being sent",
    "local list: differs": "To be updated",
    "local list: refused": "Not taken",
    "local list: not supported": "Not supported",
    "local list: too long": "Too long",
    "local list: no answer": "No answer",
    "local list not taken": "A station did not take its local list",
    # families of commands
    "family: core": "Core",
    "family: local list": "Local list",
    "family: reservation": "Reservation",
    "family: charging profile": "Smart charging",
    "family: trigger": "Trigger",
    "family: files": "Firmware and logs",
    "family: security": "Certificates",
    # why a security profile was not changed
    "profile: unknown station": "There is no such station.",
    "profile: no key": "This profile needs a key, and the station has none yet.",
    "profile: reason missing": "Please say why it is lowered.",
    # alarms about the security of links
    "link refused": "A station was turned away",
    "security event": "A station reports a security event",
    "certificate request": "A request for a certificate was refused",
    "certificate not taken": "A station did not take its certificate",
    "certificate ends": "A certificate ends soon",
    # what happens, for webhooks
    "charge_point.connected": "A station connected",
    "charge_point.disconnected": "A station lost its connection",
    "connector.status": "A connector told its status",
    "transaction.started": "A transaction began",
    "transaction.reading": "A reading of a transaction came",
    "transaction.ended": "A transaction ended",
    "account.paid_in": "Credit was paid in",
    "alarm.raised": "An alarm was raised",
    "command.decided": "A command was answered, or given up",
    "security.event": "A station told a security event",
    # parts of a charge
    "energy": "Energy",
    "time": "Time",
    "idle": "Idle time",
    "start": "Start fee",
    "free energy": "Free energy",
    "minimum": "Up to the minimum",
    "maximum": "Down to the maximum",
}


def words(name: str | None) -> str:
    """Return the sentence for a name; a name without one is shown with a capital letter."""
    if not name:
        return DASH
    return WORDS.get(name, name[:1].upper() + name[1:])
