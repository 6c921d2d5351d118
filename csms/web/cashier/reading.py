"""What was typed or read into a card field, as the id tag that stations send: each desk's reader has its format."""

from csms.billing.books import is_id_tag, normalize_id_tag
from csms.billing.reader_formats import id_tag_of
from csms.web.forms import Form
from csms.web.visit import Visit

LONGEST_TYPED = 60


def tag_from(visit: Visit, typed: str) -> str:
    """Return the id tag of a card that was read at this person's desk; "" where it cannot be one.

    What that reader cannot have typed was typed by hand, as the id tag itself.
    """
    if len(typed) > LONGEST_TYPED:
        return ""
    tag = id_tag_of(typed, visit.staff.reader_format) or normalize_id_tag(typed)
    return tag if is_id_tag(tag) else ""


def with_tag(visit: Visit, field: str) -> Form:
    """Return the form with the card field converted, once: what the page itself filled in stays as it is."""
    typed = visit.fields.get(field, "").strip()
    known = visit.fields.get("known", "")
    tag = typed if not typed or typed == known else tag_from(visit, typed) or typed
    return Form(visit.fields | {field: tag, "known": tag})
