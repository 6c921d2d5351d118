"""Local lists as values: the difference between any two makes the one of the other, also in parts."""

import hypothesis.strategies as st
from hypothesis import given

from csms.operations.local_lists import Entry, StationList, Step, Wanted, applied, difference, digest_of, next_step

_tags = st.text("0123456789ABCDEF", min_size=1, max_size=3)
_entries = st.builds(
    Entry,
    _tags,
    st.sampled_from(["Accepted", "Blocked", "Expired"]),
    st.sampled_from([None, "2030-01-01T00:00:00Z"]),
    st.sampled_from([None, "A1000", "A1001"]),
)
_lists = st.lists(_entries, max_size=12).map(lambda entries: {one.id_tag: one for one in entries})


@given(_lists, _lists)
def test_the_difference_applied_to_the_old_list_gives_the_new_one(
    before: dict[str, Entry], after: dict[str, Entry]
) -> None:
    changes = difference(before, after)
    assert applied(before, {"updateType": "Differential", "localAuthorizationList": changes}) == after
    assert {one["idTag"] for one in changes if "idTagInfo" not in one} == before.keys() - after.keys()
    assert bool(changes) == (before != after)


@given(_lists, _lists, st.integers(1, 5), st.sampled_from([None, 0, 7]))
def test_steps_that_are_taken_lead_to_what_is_wanted_with_rising_versions(
    before: dict[str, Entry], after: dict[str, Entry], most_sent: int, version: int | None
) -> None:
    held = before if version == 7 else {}
    has = _held(StationList(1, version=version, is_supported=True), held, known=version is not None)
    wanted = Wanted(1, tuple(after.values()), digest_of(after.values()), most_sent=most_sent)
    for _ in range(40):
        step = next_step(has, wanted)
        if step is None:
            break
        assert isinstance(step, Step)
        if step.action == "GetLocalListVersion":
            has = _held(_at(has, 3), held, known=False)
            continue
        assert step.payload["listVersion"] > (has.version or 0)
        assert len(step.payload["localAuthorizationList"]) <= most_sent
        if step.payload["updateType"] == "Full":
            assert all("idTagInfo" in one for one in step.payload["localAuthorizationList"])
        held = applied(held, step.payload)
        has = _held(_at(has, step.payload["listVersion"]), held, known=True)
    assert held == after


def _at(has: StationList, version: int) -> StationList:
    from msgspec.structs import replace

    return replace(has, version=version)


def _held(has: StationList, entries: dict[str, Entry], *, known: bool) -> StationList:
    import msgspec

    text = msgspec.json.encode(list(entries.values())).decode() if known else None
    return msgspec.structs.replace(has, entries_json=text, digest=digest_of(entries.values()) if known else "")
