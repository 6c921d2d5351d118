"""Moments as SQLite keeps them, in text that sorts as time does; and lists as one parameter, on both databases."""

from datetime import UTC, datetime, timedelta, timezone

from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import BigInteger, Column, Connection, MetaData, String, Table, delete, insert, or_, select

from csms.db import Database, any_of, to_text

_OFFSETS = st.integers(-14 * 3600, 14 * 3600).map(lambda seconds: timezone(timedelta(seconds=seconds)))
_MOMENTS = st.datetimes(
    datetime(1, 1, 3),  # noqa: DTZ001 - its zone is drawn
    datetime(9999, 12, 29),  # noqa: DTZ001 - its zone is drawn
    timezones=st.just(UTC) | _OFFSETS,
)


@given(_MOMENTS, st.booleans())
def test_a_moment_is_kept_to_the_microsecond_in_utc(moment: datetime, whole: bool) -> None:  # noqa: FBT001 - drawn
    moment = moment.replace(microsecond=0) if whole else moment
    written = to_text(moment)
    assert written == moment.astimezone(UTC).replace(tzinfo=None).isoformat(" ", "microseconds")


@given(_MOMENTS, _MOMENTS)
def test_its_text_sorts_as_time_does(one: datetime, other: datetime) -> None:
    first, second = to_text(one), to_text(other)
    assert first is not None
    assert second is not None
    assert (first < second) == (one < other)
    assert (first == second) == (one == other)


def test_no_moment_stays_none() -> None:
    assert to_text(None) is None


_kept = Table("kept", MetaData(), Column("id", BigInteger, primary_key=True), Column("word", String(60), index=True))
_WORDS = ["", "plain", "it's", 'double "quoted"', "back\\slash", "Ünïcödé 😀", "a/b", "tab\t", "%s", ":keys", "?", "{}"]
_LARGE = [2**31, 2**53 + 1, 2**63 - 1]


def _words(connection: Connection, keys: list[str]) -> list[str]:
    return list(connection.execute(select(_kept.c.word).where(any_of(_kept.c.word, "keys")), {"keys": keys}).scalars())


def test_a_column_is_looked_up_in_a_list_of_any_length(database: Database) -> None:
    by_id = select(_kept.c.id).where(any_of(_kept.c.id, "keys"), _kept.c.word != "plain").order_by(_kept.c.id)
    other = (
        select(_kept.c.id).where(or_(~any_of(_kept.c.id, "ids"), any_of(_kept.c.word, "words"))).order_by(_kept.c.id)
    )
    forget = delete(_kept).where(any_of(_kept.c.id, "keys"))
    with database.unit_of_work() as connection:
        _kept.create(connection)
        rows = [*enumerate(_WORDS), *((one, str(one)) for one in _LARGE)]
        connection.execute(insert(_kept), [{"id": number, "word": word} for number, word in rows])
        for some in ([], _WORDS[:1], _WORDS, [*_WORDS, "none of them"]):
            assert sorted(_words(connection, some)) == sorted(set(some) & set(_WORDS))
        assert connection.execute(by_id, {"keys": [0, 1, -1, *_LARGE]}).scalars().all() == [0, *_LARGE]
        found = connection.execute(other, {"ids": [*range(9), *_LARGE], "words": ["it's"]})
        assert found.scalars().all() == [2, 9, 10, 11]
        assert connection.execute(forget, {"keys": list(range(20))}).rowcount == len(_WORDS)


def test_a_list_is_looked_up_by_the_index(sqlite_url: str) -> None:
    database = Database(sqlite_url)
    with database.unit_of_work() as connection:
        _kept.create(connection)
        indexes = ((_kept.c.id, "INDEX sqlite_autoindex_kept_1 (id=?)"), (_kept.c.word, "INDEX ix_kept_word (word=?)"))
        for column, index in indexes:
            statement = str(select(_kept).where(any_of(column, "keys")).compile(connection.engine))
            plan = connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", ("[]",)).all()
            assert any(index in row[3] for row in plan)
    database.close()
