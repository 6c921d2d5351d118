"""An operator who works with the API alone, and the charge points that play against the central system.

The whole program runs as `csms serve` runs it: engine, central system and portal on real sockets. Each step of a case
is one line:

    async def test_tc_013_hard_reset(operator: Operator, station: Station) -> None:
        asked = await operator.command("Reset", {"type": "Hard"})  # POST .../commands, answered at once with 202
        await station.takes("Reset", {"type": "Hard"}, answers={"status": "Accepted"})  # exactly this payload came
        done = await asked.done()  # GET /commands/{id}?wait_s=..., which has become final
        assert (done.state, done.answer) == ("accepted", {"status": "Accepted"})

In one line, where the answer alone matters: `done = await operator.told(station, action, payload, answers={...})`.

Operator: `command`, `told`, `get`, `post`, `send` (any method), `refused` (expects a problem), `stored` (tables),
`world` (cards, transactions, entries, commands), `station(...)` (another connection), `http` (the raw client).
Station (a `Peer`): `boots`, `status`, `authorize`, `takes`, `refuses`, `hears_nothing`, `call`, `start`, `read`
and `stop`.
"""

import asyncio
import base64
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from types import SimpleNamespace
from typing import Any

import httpx
import msgspec
from sqlalchemy import Table, select

from csms import clock
from csms.app import Running, run
from csms.config import Settings
from csms.installation import open_installation
from csms.web.api.keys import add_key, new_secret
from csms.web.api.scopes import SCOPES
from tests.support.peer import Peer
from tests.support.world import CARD, World, add_tariff

__all__ = ["CARD", "Command", "Operator", "Pending", "Station", "open_operator"]

_STARTING_S = 60
_ANSWER_S = 50


class Command(msgspec.Struct, frozen=True):
    """A command as the API shows it."""

    id: int
    charge_point_id: int
    action: str
    payload: Any
    state: str
    is_final: bool
    requested_by: str
    transaction_id: int | None
    attempts: int
    created_at: str
    expires_at: str
    sent_at: str | None
    answered_at: str | None
    answer: Any
    failure: str | None


class Pending:
    """A command that was asked for; the charge point has yet to answer."""

    def __init__(self, operator: "Operator", row: Command) -> None:
        self.operator = operator
        self.row = row
        self.id = row.id

    async def now(self) -> Command:
        """Return the row as it is."""
        return msgspec.convert(await self.operator.get(f"/commands/{self.id}"), Command)

    async def done(self) -> Command:
        """Wait for the final state and return the row; its `answer` is the payload of the call result."""
        for _ in range(4):
            row = msgspec.convert(await self.operator.get(f"/commands/{self.id}", wait_s=_ANSWER_S), Command)
            if row.is_final:
                break
        assert row.is_final, f"{row.action} has not become final: {row}"
        return row


class Taken:
    """A call of the central system that a station received and has not answered yet."""

    def __init__(self, station: "Station", message_id: str, action: str, payload: dict[str, Any]) -> None:
        self.station = station
        self.message_id = message_id
        self.action = action
        self.payload = payload

    async def answer(self, payload: Mapping[str, Any]) -> None:
        """Answer with a call result."""
        await self.station.answer(self.message_id, dict(payload))

    async def refuse(self, code: str, description: str = "", details: Mapping[str, Any] | None = None) -> None:
        """Answer with a call error."""
        frame = [4, self.message_id, code, description, dict(details or {})]
        await self.station.socket.send(json.dumps(frame))


class Station(Peer):
    """A charge point on a real socket. Nothing is answered by itself."""

    async def boots(self, status: str | None = "Accepted", **more: Any) -> dict[str, Any]:
        """Send BootNotification; the central system has to answer with `status` (None: whatever it is)."""
        about = {"chargePointVendor": "Acme", "chargePointModel": "One", "chargePointSerialNumber": "SN-1"}
        answer = await self.call("BootNotification", about | more)
        assert status is None or answer["status"] == status, answer
        return answer

    async def status(self, connector_id: int, status: str, error_code: str = "NoError", **more: Any) -> None:
        """Send StatusNotification; it has to be answered."""
        payload = {"connectorId": connector_id, "status": status, "errorCode": error_code}
        assert await self.call("StatusNotification", payload | more) == {}

    async def authorize(self, id_tag: str = CARD) -> str:
        """Send Authorize and return the status of the card."""
        status: str = (await self.call("Authorize", {"idTag": id_tag}))["idTagInfo"]["status"]
        return status

    async def takes(
        self, action: str, payload: Mapping[str, Any] | None = None, *, answers: Mapping[str, Any] | None = None
    ) -> Taken:
        """Receive the next call: it has to be this action, with exactly this payload where one is given.

        With `answers` it is answered at once; otherwise by `.answer({...})` or `.refuse("NotSupported")` of what is
        returned.
        """
        message_id, came, sent = await self.next_command()
        assert came == action, f"{came} came instead of {action}: {sent}"
        assert payload is None or sent == payload, f"{action} came with {sent}"
        taken = Taken(self, message_id, came, sent)
        if answers is not None:
            await taken.answer(answers)
        return taken

    async def refuses(self, action: str, code: str, description: str = "") -> Taken:
        """Receive the next call and answer it with a call error."""
        taken = await self.takes(action)
        await taken.refuse(code, description)
        return taken

    async def hears_nothing(self, seconds: float = 0.3) -> None:
        """Make sure that no call comes for a while."""
        try:
            came = await self.next_command(seconds)
        except TimeoutError:
            return
        raise AssertionError(f"{came[1]} came: {came[2]}")


class Operator:
    """Somebody with an API key that may do everything, at a program that runs for real.

    `charge_point_id` is the number of CP1, which `command` means where no other is given.
    """

    charge_point_id = 1

    def __init__(self, world: World, running: Running, http: httpx.AsyncClient) -> None:
        self.world = world
        self.running = running
        self.http = http
        self.settings = world.installation.settings

    # --- What an operator does, over HTTP -----------------------------------------------------------------------------

    async def send(self, method: str, path: str, body: Any = None, **query: Any) -> httpx.Response:
        """Send any request; `path` begins behind /api/v1."""
        content = None if body is None else msgspec.json.encode(body)
        headers = {} if body is None else {"Content-Type": "application/json"}
        return await self.http.request(method, f"/api/v1{path}", content=content, headers=headers, params=query or None)

    async def get(self, path: str, **query: Any) -> Any:
        """Return the body of an address; anything but success fails."""
        response = await self.send("GET", path, **query)
        assert response.is_success, f"GET {path}: {response.status_code} {response.text}"
        return response.json()

    async def post(self, path: str, body: Any = None, *, method: str = "POST", **query: Any) -> Any:
        """Send a body and return the answer's; anything but success fails."""
        response = await self.send(method, path, {} if body is None else body, **query)
        assert response.is_success, f"{method} {path}: {response.status_code} {response.text}"
        return response.json() if response.content else None

    async def refused(self, status: int, path: str, body: Any = None, *, method: str = "POST") -> dict[str, Any]:
        """Send a body that has to be refused with this status, and return the problem: `type`, `detail`, `field`."""
        response = await self.send(method, path, body)
        assert response.status_code == status, f"{method} {path}: {response.status_code} {response.text}"
        assert response.headers["content-type"] == "application/problem+json"
        problem: dict[str, Any] = response.json()
        return problem

    async def command(
        self,
        action: str,
        payload: Mapping[str, Any] | None = None,
        *,
        expires_s: int | None = None,
        charge_point_id: int | None = None,
    ) -> Pending:
        """Ask for a command and go on at once; the station answers, then `await pending.done()` returns its row."""
        body: dict[str, Any] = {"action": action, "payload": dict(payload or {}), "wait_s": 0}
        if expires_s is not None:
            body["expires_s"] = expires_s
        number = charge_point_id or self.charge_point_id
        row = await self.post(f"/charge-points/{number}/commands", body)
        return Pending(self, msgspec.convert(row, Command))

    async def told(
        self,
        station: Station,
        action: str,
        payload: Mapping[str, Any] | None = None,
        *,
        answers: Mapping[str, Any],
        sent: Mapping[str, Any] | None = None,
        charge_point_id: int | None = None,
    ) -> Command:
        """Ask for a command, let the station receive exactly its payload (or `sent`) and answer, return the row."""
        pending = await self.command(action, payload, charge_point_id=charge_point_id)
        await station.takes(action, dict(payload or {}) if sent is None else sent, answers=answers)
        row = await pending.done()
        assert row.answer == dict(answers)
        return row

    # --- What is stored -----------------------------------------------------------------------------------------------

    def stored(self, table: Table, *conditions: Any) -> list[dict[str, Any]]:
        """Return the rows of a table that meet the conditions, by its primary key."""
        with self.world.database.reading() as connection:
            rows = connection.execute(select(table).where(*conditions).order_by(*table.primary_key.columns))
            return [dict(row._mapping) for row in rows]

    # --- Charge points ------------------------------------------------------------------------------------------------

    @asynccontextmanager
    async def station(
        self, identity: str = "CP1", *, boot: bool = True, key: bytes | str | None = None, **options: Any
    ) -> AsyncIterator[Station]:
        """Connect as a station, and boot (with `boot`). `key` is its password; `options` are those of websockets."""
        if key is not None:
            secret = key.encode() if isinstance(key, str) else key
            token = base64.b64encode(identity.encode() + b":" + secret).decode()
            options["additional_headers"] = {"Authorization": f"Basic {token}"}
        url = options.pop("url", f"ws://127.0.0.1:{self.running.ocpp_port}/ocpp/{identity}")
        async with Station.connect(url, **options) as peer:
            assert isinstance(peer, Station)
            if boot:
                await peer.boots()
            yield peer


def new_api_key(running: Running, *, scopes: tuple[str, ...] = SCOPES, name: str = "operator") -> str:
    """Make a key of the API, as the portal does, and return it."""
    secret = new_secret()
    with running.installation.database.unit_of_work() as connection:
        add_key(connection, name=name, secret=secret, scopes=scopes, created_by="test", now=clock.now())
    return secret


@asynccontextmanager
async def open_operator(settings: Settings, *, furnish: bool = True) -> AsyncIterator[Operator]:
    """Run the whole program on `settings`; `furnish` adds a tariff, station CP1 (profile 0) and a card with 20.00."""
    installation = open_installation(settings)
    stop = asyncio.Event()
    ready: asyncio.Future[Running] = asyncio.get_running_loop().create_future()
    program = asyncio.create_task(run(installation, stop, on_ready=ready.set_result))
    await asyncio.wait([program, ready], timeout=_STARTING_S, return_when=asyncio.FIRST_COMPLETED)
    try:
        if program.done():
            await program
        running = ready.result()
        sockets: Any = SimpleNamespace(port=running.ocpp_port)
        world = World(installation, sockets, None, None)  # type: ignore[arg-type] - the program has its own
        if furnish:
            add_tariff(installation)
            await world.add_station("CP1")
            await world.issue_card(CARD, 2000)
        headers = {"Authorization": f"Bearer {new_api_key(running)}"}
        url = f"http://127.0.0.1:{running.portal_port}"
        async with httpx.AsyncClient(base_url=url, headers=headers, timeout=60, trust_env=False) as http:
            yield Operator(world, running, http)
    finally:
        stop.set()
        await program
        installation.database.close()
