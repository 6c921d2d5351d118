"""Looking messages up: by station, kind, action, id, text and time, page by page, and all of them in order."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest

from csms.db import Database
from csms.message_log.entries import Entry
from csms.message_log.reading import LoggedMessage, MessageReader, Search
from csms.message_log.store import MessageStore

_BEGIN = datetime(2026, 11, 23, 8, tzinfo=UTC)


def _at(second: int) -> datetime:
    return _BEGIN + timedelta(seconds=second)


@pytest.fixture
def reader(database: Database) -> Iterator[MessageReader]:
    """One hundred messages, one a second, of three stations in turn; every tenth is a result."""
    store = MessageStore(database)
    store.write(
        [
            Entry(
                number % 3,
                _at(number),
                bool(number % 2),
                "call" if number % 10 else "result",
                "Heartbeat" if number % 4 else "Authorize",
                f"m{number}",
                None if number % 10 else number,
                10,
                f'[2,"m{number}",{{"100%_of":"Station {number}"}}]',
            )
            for number in range(100)
        ]
    )
    yield MessageReader(store)
    store.close()


def _ids(messages: tuple[LoggedMessage, ...]) -> list[int]:
    return [int(one.message_id[1:]) for one in messages]


def test_without_a_wish_everything_comes_newest_first_page_by_page(reader: MessageReader) -> None:
    seen: list[int] = []
    before = None
    while True:
        found = reader.page(Search(), limit=30, before=before)
        seen += _ids(found.messages)
        before = found.next_before
        if before is None:
            break
    assert seen == list(range(99, -1, -1))


@pytest.mark.parametrize(
    ("search", "fits"),
    [
        (Search(charge_point_id=1), lambda n: n % 3 == 1),
        (Search(kind="result"), lambda n: n % 10 == 0),
        (Search(action="Authorize"), lambda n: n % 4 == 0),
        (Search(message_id="m42"), lambda n: n == 42),
        (Search(text="station 7"), lambda n: str(n).startswith("7")),
        (Search(text="100%_of"), lambda _: True),
        (Search(text="100__of"), lambda _: False),
        (Search(since=_at(90)), lambda n: n >= 90),
        (Search(until=_at(10)), lambda n: n < 10),
        (Search(charge_point_id=2, since=_at(20), until=_at(40)), lambda n: n % 3 == 2 and 20 <= n < 40),
        (Search(since=_at(1000)), lambda _: False),
        (Search(until=_at(-1000)), lambda _: False),
        (Search(kind="call", action="Heartbeat", charge_point_id=0), lambda n: n % 3 == 0 and n % 10 and n % 4),
    ],
)
def test_each_wish_narrows_pages_and_exports_alike(reader: MessageReader, search: Search, fits: object) -> None:
    assert callable(fits)
    wanted = [number for number in range(100) if fits(number)]
    assert _ids(reader.page(search, limit=200).messages) == wanted[::-1]
    assert _ids(tuple(reader.stream(search))) == wanted
    assert _ids(reader.newer(search, than=0, limit=200)) == wanted[::-1]


def test_a_page_looks_through_so_many_rows_and_says_how_far_it_came(reader: MessageReader) -> None:
    search = Search(message_id="m10")
    first = reader.page(search, limit=5, looked_through=40)
    assert (first.messages, first.looked_until) == ((), _at(60))
    second = reader.page(search, limit=5, before=first.next_before, looked_through=40)
    assert second.looked_until == _at(20)
    third = reader.page(search, limit=5, before=second.next_before, looked_through=40)
    assert _ids(third.messages) == [10]
    assert third.next_before is None


def test_what_came_after_a_number_is_told_newest_first(reader: MessageReader) -> None:
    newest = reader.newest()
    assert reader.newer(Search(), than=newest, limit=10) == ()
    assert _ids(reader.newer(Search(), than=newest - 3, limit=10)) == [99, 98, 97]
    assert _ids(reader.newer(Search(), than=0, limit=2)) == [99, 98]


def test_a_stream_ends_where_it_was_told_to(reader: MessageReader) -> None:
    assert _ids(tuple(reader.stream(Search(), most=7))) == list(range(7))
    assert tuple(reader.stream(Search(), most=0)) == ()


def test_a_row_keeps_what_was_noted(reader: MessageReader) -> None:
    one = reader.page(Search(message_id="m40"), limit=1).messages[0]
    assert (one.charge_point_id, one.recorded_at, one.is_outgoing, one.kind) == (1, _at(40), False, "result")
    assert (one.action, one.duration_ms, one.size_bytes) == ("Authorize", 40, 10)
    assert one.text == '[2,"m40",{"100%_of":"Station 40"}]'
