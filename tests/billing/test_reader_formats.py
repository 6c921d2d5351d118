"""Reader formats: whatever a desk's reader types, the id tag that a station sends comes back."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from csms.billing.reader_formats import READER_FORMATS, ReaderFormat, id_tag_of, typed_by

# A number without leading zero bytes says how long the UID is only where it needs that length.
_UIDS = st.one_of(
    st.binary(min_size=4, max_size=4),
    *(st.binary(min_size=size, max_size=size).filter(lambda uid: uid[0] != 0 and uid[-1] != 0) for size in (7, 8, 10)),
)


@pytest.mark.parametrize("reader_format", READER_FORMATS)
@given(uid=_UIDS)
def test_what_a_reader_types_is_the_id_tag_again(reader_format: ReaderFormat, uid: bytes) -> None:
    id_tag = uid.hex().upper()
    assert id_tag_of(typed_by(id_tag, reader_format), reader_format) == id_tag


@pytest.mark.parametrize("reader_format", READER_FORMATS)
@given(typed=st.text(max_size=40))
def test_nothing_that_is_typed_is_an_error(reader_format: ReaderFormat, typed: str) -> None:
    tag = id_tag_of(typed, reader_format)
    assert tag is None or (0 < len(tag) <= 20 and tag == tag.upper())


@pytest.mark.parametrize(
    ("typed", "reader_format", "id_tag"),
    [
        ("04:a1:b2:c3", "hex", "04A1B2C3"),
        ("C3B2A104", "hex reversed", "04A1B2C3"),
        ("77705923", "decimal", "04A1B2C3"),
        ("0077705923", "decimal", "04A1B2C3"),
        ("3283263748", "decimal reversed", "04A1B2C3"),
        ("04A1B2C", "hex reversed", None),
        ("04A1B2C3", "decimal", None),
        ("٣٤", "decimal", None),
        ("", "hex", None),
        ("9" * 25, "decimal", None),
    ],
)
def test_examples_read_as_the_cards_say(typed: str, reader_format: ReaderFormat, id_tag: str | None) -> None:
    assert id_tag_of(typed, reader_format) == id_tag
