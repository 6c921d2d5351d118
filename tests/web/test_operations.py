"""What operators and accountants see: live state, transactions with their evidence, the journal behind a balance."""

from datetime import timedelta

from csms import clock
from csms.billing.verification import Violation
from csms.charging import metering, stations, transactions, verification_runs
from csms.charging.facts import ConnectorStatus
from csms.commands.history import CommandFilter, list_commands
from tests.web.portal import CARD, PortalWorld

HOSTILE = "<script>alert(1)</script>"


async def _charge(portal: PortalWorld, identity: str = "CP1", *, stop: bool = True) -> tuple[int, int]:
    """Add a station and let it charge 10 kWh in an hour; return its id and the transaction's."""
    station = await portal.engine.submit(stations.AddChargePoint(identity, 0, None, None))
    await portal.engine.submit(stations.Boot(station, HOSTILE, "<b>M</b>", "'\"><i>", "1.0"))
    begin = clock.now() - timedelta(hours=1)
    started = await portal.engine.submit(
        transactions.StartTransaction(station, 1, CARD, 100_000, begin, begin.isoformat())
    )
    number: int = started.transaction_id
    for minutes in range(10, 61, 10):
        at = begin + timedelta(minutes=minutes)
        samples = (
            metering.Sample(str(100_000 + minutes * 10_000 // 60)),
            metering.Sample("10000", "Power.Active.Import", "W"),
        )
        value = metering.MeterValue(at, samples, f"[{minutes}]")
        await portal.engine.submit(metering.MeterValues(station, 1, number, (value,)))
    if stop:
        at = begin + timedelta(hours=1)
        await portal.engine.submit(
            transactions.StopTransaction(station, number, CARD, 110_000, at, at.isoformat(), "Local")
        )
    return station, number


async def test_a_cost_leads_to_its_lines_its_entry_and_its_readings(portal: PortalWorld) -> None:
    _, number = await _charge(portal)
    browser = await portal.logged_in("administrator")
    await browser.get(f"/transactions/{number}")
    for shown in ("10.00 kWh", "€5.20", "€3.50", "€1.20", "€0.50", "In the journal", "<svg", "110.000 kWh"):
        assert shown in browser.text, shown
    entry = portal.entries()[0]
    await browser.get(f"/journal/{entry.entry_id}")
    assert f'href="/transactions/{number}"' in browser.text
    assert "Energy income" in browser.text
    card = portal.card()
    await browser.get("/journal", account=card.account_id)
    assert "€14.80" in browser.text  # 20.00 less 5.20
    await browser.get("/journal", transaction=number)
    assert f"transaction {number}" in browser.text
    await browser.get("/accounts")
    assert "does not balance" not in browser.text


async def test_what_a_station_calls_itself_is_shown_and_never_run(portal: PortalWorld) -> None:
    station, _ = await _charge(portal, "CP/1 <b>", stop=False)
    fault = ConnectorStatus(station, 2, "Faulted", "OtherError", HOSTILE, HOSTILE, clock.now())
    await portal.engine.submit(stations.StatusNotification(fault))
    browser = await portal.logged_in("administrator")
    for path in ("/dashboard", "/dashboard/live", "/stations", f"/stations/{station}", "/transactions"):
        response = await browser.get(path)
        assert "<script>alert" not in response.text, path
        assert "<b>" not in response.text, path
        assert "CP/1 <b>" in browser.text, path
    await browser.get(f"/stations/{station}")
    assert HOSTILE in browser.text
    await browser.get("/stations", search=HOSTILE)
    assert "CP/1 <b>" in browser.text
    nothing = await browser.get("/stations", search="<u>nothing")
    assert "<u>" not in nothing.text


async def test_the_live_part_follows_the_charge_without_a_new_page(portal: PortalWorld) -> None:
    browser = await portal.logged_in("operator")
    await browser.get("/dashboard")
    assert 'hx-get="/dashboard/live?page=1"' in browser.text
    assert "Nothing is charging" in browser.text
    station, number = await _charge(portal, stop=False)
    portal.connect(station)
    response = await browser.client.get("/dashboard/live")
    assert "<html" not in response.text
    for shown in ("CP1", "10.00", "€5.20", "€14.80", "Online"):
        assert shown in response.text, shown
    live = await browser.client.get(f"/stations/{station}/live")
    assert f"Stop transaction {number}" in live.text
    assert "€5.20" in (await browser.client.get(f"/transactions/{number}/live")).text


async def test_an_operator_stops_and_starts_by_commands(portal: PortalWorld) -> None:
    station, number = await _charge(portal, stop=False)
    other = await portal.engine.submit(stations.AddChargePoint("CP2", 0, None, None))
    browser = await portal.logged_in("operator")
    await browser.get(f"/stations/{station}")
    await browser.post(f"/stations/{station}/stop", transaction_id=number)
    assert "on its way" in browser.text
    await browser.post(f"/stations/{other}/start", id_tag="1000 1", connector_id="2")
    assert "RemoteStartTransaction" in browser.text
    with portal.database.reading() as connection:
        stop, start = (list_commands(connection, CommandFilter(one), limit=5)[0] for one in (station, other))
    assert (stop.action, stop.state, stop.requested_by) == ("RemoteStopTransaction", "queued", "staff operator")
    assert start.action == "RemoteStartTransaction"
    assert CARD in start.payload_json
    for path, fields, status in (
        (f"/stations/{other}/stop", {"transaction_id": str(number)}, 404),
        (f"/stations/{other}/stop", {"transaction_id": "x"}, 404),
        (f"/stations/{other}/start", {"id_tag": "nobody", "connector_id": ""}, 422),
        (f"/stations/{other}/start", {"id_tag": CARD, "connector_id": "0"}, 422),
        (f"/stations/{other}/start", {"id_tag": CARD, "connector_id": "one"}, 422),
        ("/stations/77/start", {"id_tag": CARD, "connector_id": ""}, 404),
    ):
        assert (await browser.post(path, **fields)).status_code == status, fields


async def test_transactions_are_narrowed_by_state_station_and_card(portal: PortalWorld) -> None:
    _, first = await _charge(portal, "CP1")
    _, second = await _charge(portal, "CP2", stop=False)
    browser = await portal.logged_in("accountant")

    async def listed(**filters: str) -> set[int]:
        await browser.get("/transactions", **filters)
        return {number for number in (first, second) if f'href="/transactions/{number}"' in browser.text}

    assert await listed() == {first, second}
    assert await listed(state="open") == {second}
    assert await listed(state="ended") == {first}
    assert await listed(state="nonsense") == {first, second}
    assert await listed(station="CP1") == {first}
    assert await listed(station="CP9") == set()
    assert await listed(card="1000 1") == {first, second}
    assert await listed(card=HOSTILE) == set()
    assert "No transaction fits" in browser.text


async def test_a_refused_start_tells_the_true_reason(portal: PortalWorld) -> None:
    station = await portal.engine.submit(stations.AddChargePoint("CP1", 0, None, None))
    now = clock.now()
    asked = transactions.StartTransaction(station, 1, "NOBODY", 0, now, now.isoformat())
    started = await portal.engine.submit(asked)
    browser = await portal.logged_in("operator")
    await browser.get(f"/transactions/{started.transaction_id}")
    assert "The card was refused: This card is not known" in browser.text.replace("<strong>", "")


async def test_what_no_rule_could_decide_waits_with_its_evidence(portal: PortalWorld) -> None:
    station = await portal.engine.submit(stations.AddChargePoint("CP1", 0, None, None))
    now = clock.now()
    await portal.engine.submit(transactions.StopTransaction(station, -1, HOSTILE, 5, now, now.isoformat(), "Local"))
    browser = await portal.logged_in("accountant")
    response = await browser.get("/review")
    assert "Stop without a transaction" in browser.text
    assert "<script>alert" not in response.text


async def test_long_lists_are_paged(portal: PortalWorld) -> None:
    for number in range(portal.settings.page_size + 3):
        await portal.engine.submit(stations.AddChargePoint(f"CP{number:03}", 0, None, None))
    browser = await portal.logged_in("operator")
    await browser.get("/stations")
    assert "Page 1 of 2" in browser.text
    assert "CP027" not in browser.text
    for page in ("2", "99"):
        await browser.get("/stations", page=page)
        assert "CP027" in browser.text
    for page in ("0", "-1", "x", "9" * 30, "٢"):
        await browser.get("/stations", page=page)
        assert "CP000" in browser.text


async def test_empty_pages_say_so(sqlite_portal: PortalWorld) -> None:
    browser = await sqlite_portal.logged_in("administrator")
    for path, sentence in (
        ("/stations", "There is no station yet"),
        ("/transactions", "Nobody has charged yet"),
        ("/review", "Nothing waits for a person"),
        ("/cards?search=zzz", "No card matches “zzz”"),
    ):
        await browser.get(path)
        assert sentence in browser.text, path


async def test_times_are_written_in_the_zone_that_is_named(sqlite_portal: PortalWorld) -> None:
    browser = await sqlite_portal.logged_in("accountant")
    await browser.get("/journal")
    assert "Europe/Sofia (EE" in browser.text


async def test_while_the_database_is_away_pages_say_that_nothing_was_changed(sqlite_portal: PortalWorld) -> None:
    browser = await sqlite_portal.logged_in("accountant")
    path = sqlite_portal.database.url.database
    assert path is not None
    sqlite_portal.database.close()
    with open(path, "rb+") as file:  # noqa: PTH123 - a damaged disk
        content = file.read()
        file.seek(0)
        file.write(b"\xff" * len(content))
    response = await browser.get("/journal")
    assert response.status_code in {500, 503}
    assert "Nothing was booked or changed" in browser.text
    assert (await browser.get("/healthz")).text == "ok"


async def test_overview_and_journal_say_when_the_ledger_was_verified_and_what_was_wrong(portal: PortalWorld) -> None:
    browser = await portal.logged_in("administrator")
    operator = await portal.logged_in("operator")
    for page in ("/dashboard", "/journal"):
        await browser.get(page)
        assert "not verified by night yet" in browser.text

    def ended(number: int, first: Violation | None) -> None:
        due_at = clock.now() + timedelta(days=number)
        with portal.database.unit_of_work() as connection:
            assert verification_runs.claim(connection, due_at, "node", due_at)
            verification_runs.finish(connection, due_at, "node", number, first, due_at)

    ended(0, None)
    for page in ("/dashboard", "/dashboard/live", "/journal"):
        await browser.get(page)
        assert "Last verified" in browser.text
        assert "everything fits" in browser.text
    ended(1, Violation(2, "a rule", "account 1000"))
    for page in ("/dashboard", "/journal"):
        await browser.get(page)
        assert "does not verify: 1 violation on" in browser.text
        assert "The first: a rule: account 1000." in browser.text
    await operator.get("/dashboard")
    assert "does not verify" in operator.text
    assert "a rule" not in operator.text  # the rows are the accountant's matter
