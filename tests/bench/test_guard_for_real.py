"""The parts of the guard's campaign against a real server that need none: its sessions, its table, its slow links."""

import asyncio
from datetime import UTC, datetime

from bench.guard_for_real import CASES, INTERVALS_S, POWERS_W, Ended, plans, remarkable, table
from bench.guard_real_server import Charged
from bench.slow_link import SlowLink


def test_two_databases_together_play_what_one_plays_alone() -> None:
    alone = plans(CASES, 1, 1, 0, 1)
    shared = [plans(CASES, 1, 1, part, 2) for part in (0, 1)]
    assert sum(map(len, shared)) == len(alone)
    for some in shared:
        kinds = {(one.place.max_power_w, one.place.interval_s) for one in some if one.name == "nothing unusual"}
        assert kinds == {(power_w, interval_s) for power_w in POWERS_W for interval_s in INTERVALS_S}


def test_the_table_tells_what_was_delivered_beyond_the_credit_and_what_was_left() -> None:
    dear, left = plans(["nothing unusual"], 1, 1, 0, 1)[:2]
    at = datetime(2026, 11, 23, tzinfo=UTC)
    found = {
        "SQLite": [
            Ended(
                dear, Charged("ended", round(dear.credit_wh) + 20, dear.place.credit_minor + 8, at, at, 1), 0, 0.0, ""
            ),
            Ended(left, Charged("ended", 0, 0, at, at, 1), 0, 0.0, ""),
        ]
    }
    for one in found["SQLite"]:
        one.credit_minor = one.plan.place.credit_minor
    lines = table(found)
    assert f"| nothing unusual | 2 | 20 / 20 / 20 | 8 / 8 / 8 | {left.place.credit_minor} / " in "\n".join(lines)
    assert remarkable(found, 5)[-1].startswith("+8 cents, +20 Wh: nothing unusual")


async def test_a_slow_link_delays_both_ways_in_order_and_delivers_after_a_stall() -> None:
    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while chunk := await reader.read(100):
            writer.write(chunk)
        writer.close()

    clock = asyncio.get_running_loop().time
    server = await asyncio.start_server(echo, "127.0.0.1", 0)
    async with server, SlowLink(server.sockets[0].getsockname()[1], 0.05).opened() as link:
        reader, writer = await asyncio.open_connection("127.0.0.1", link.port)
        began_s = clock()
        writer.write(b"one")
        assert await reader.readexactly(3) == b"one"
        assert clock() - began_s >= 0.1
        stalled = asyncio.create_task(link.stall(0.3))
        await asyncio.sleep(0)
        began_s = clock()
        writer.write(b"two")
        writer.write(b"three")
        assert await reader.readexactly(8) == b"twothree"
        assert clock() - began_s >= 0.3
        await stalled
        writer.close()
