"""Whose card it is: a customer's name, e-mail, phone and language, entered, changed, and erased on request.

The ledger never learns of it. Knows the account of a card, and nothing of its money.
"""

from sqlalchemy import Connection
from starlette.exceptions import HTTPException
from starlette.responses import Response

from csms.billing import customers, reports
from csms.billing.customers import LANGUAGES, Customer
from csms.web.forms import Form
from csms.web.visit import Visit

_LONGEST_REASON = 200


async def show(visit: Visit) -> Response:
    """Show the form with what is known."""
    card, known = await visit.read(lambda connection: _load(connection, visit.query("tag")))
    form = Form() if known is None else Form({name: getattr(known, name) for name in Customer.__struct_fields__})
    return _page(visit, card, known, form)


def _load(connection: Connection, id_tag: str) -> tuple[reports.CardView, customers.CustomerView | None]:
    card = reports.find_card(connection, id_tag)
    if card is None or card.account_id is None:
        raise HTTPException(404, "There is no such card, or it was never sold.")
    return card, customers.find_customer(connection, card.account_id)


def _page(
    visit: Visit, card: reports.CardView, known: customers.CustomerView | None, form: Form, *, status: int = 200
) -> Response:
    return visit.page(
        "cashier/customer.html", status=status, card=card, known=known, form=form, done=visit.query("done")
    )


async def save(visit: Visit) -> Response:
    """Keep what was typed, in place of what was there."""
    form = Form(visit.fields)
    one = Customer(
        form.text("name", longest=100, required=False),
        form.text("email", longest=254, required=False),
        form.text("phone", longest=30, required=False),
        form.choice("language", LANGUAGES),
    )
    card, known = await visit.read(lambda connection: _load(connection, form.typed("tag")))
    for name, why in customers.problems(one).items():
        form.refuse(name, why)
    if form.valid and one == Customer():
        form.refuse("name", "Please fill in something. To take the data away, erase it.")
    if not form.valid:
        return _page(visit, card, known, form, status=422)
    assert card.account_id is not None, "only sold cards are loaded"
    account_id, actor, now = card.account_id, visit.staff.actor, visit.now
    await visit.write(lambda connection: customers.set_customer(connection, account_id, one, actor=actor, now=now))
    return visit.go("/card", tag=card.id_tag, done="customer")


async def erase(visit: Visit) -> Response:
    """Erase the data; the account, its cards and its ledger stay."""
    form = Form(visit.fields)
    card, known = await visit.read(lambda connection: _load(connection, form.typed("tag")))
    reason = form.text("reason", longest=_LONGEST_REASON)
    if not form.valid:
        return _page(visit, card, known, form, status=422)
    assert card.account_id is not None, "only sold cards are loaded"
    account_id, actor, now = card.account_id, visit.staff.actor, visit.now
    await visit.write(
        lambda connection: customers.erase_customer(connection, account_id, actor=actor, reason=reason, now=now)
    )
    return visit.go("/card/customer", tag=card.id_tag, done="erased")
