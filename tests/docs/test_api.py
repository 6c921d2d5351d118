"""The examples of docs/api.md: each is run as it stands, against the whole program, and says what it says there."""

import asyncio
import base64
import json
import re
import subprocess
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from csms.webhooks import signing
from tests.conformance.harness import Operator, Station, open_operator
from tests.conftest import settings_for

TEXT = (Path(__file__).parents[2] / "docs/api.md").read_text()
_EXAMPLES = re.findall(r"```sh\n(.*?)```(?:\n\n```json\n(.*?)```)?", TEXT, re.DOTALL)
_ANYTHING = "…"


@pytest.fixture
async def operator(sqlite_url: str, tmp_path: Path) -> AsyncIterator[Operator]:
    """The whole program."""
    async with open_operator(settings_for(sqlite_url, tmp_path)) as opened:
        yield opened


async def _answer_everything(station: Station) -> None:
    while True:
        message_id, _, _ = await station.commands.get()
        await station.answer(message_id, {"status": "Accepted"})


def _holds(shown: Any, came: Any) -> bool:
    """Tell whether everything that is shown came; what came may be more."""
    if isinstance(shown, dict):
        return isinstance(came, dict) and all(name in came and _holds(one, came[name]) for name, one in shown.items())
    if isinstance(shown, list):
        return isinstance(came, list) and len(shown) == len(came) and all(map(_holds, shown, came))
    return bool(shown in {_ANYTHING, came}) if isinstance(shown, str) else bool(shown == came)


async def test_every_example_does_what_it_shows(operator: Operator, tmp_path: Path) -> None:
    key = operator.http.headers["authorization"].removeprefix("Bearer ")
    environment = {
        "URL": f"http://127.0.0.1:{operator.running.portal_port}",
        "KEY": key,
        "PATH": "/usr/bin:/bin",
        "no_proxy": "127.0.0.1",
    }
    assert len(_EXAMPLES) >= 6
    async with operator.station() as station:
        answering = asyncio.create_task(_answer_everything(station))
        for command, shown in _EXAMPLES:
            if shown:
                said = await _said(command, environment, tmp_path)
                assert _holds(json.loads(shown), json.loads(said)), f"{command}\n{said}"
            else:  # it listens for two seconds, which a busy machine may need for something else
                while "event: account.paid_in" not in await _said(command, environment, tmp_path):
                    pass
        answering.cancel()


async def _said(command: str, environment: dict[str, str], folder: Path) -> str:
    ended = await asyncio.to_thread(
        subprocess.run,
        ["/bin/bash", "-euc", command],
        env=environment,
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert ended.returncode == 0, f"{command}\n{ended.stdout}\n{ended.stderr}"
    return ended.stdout


def test_the_receiver_of_the_document_tells_true_from_false() -> None:
    [code] = re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL)
    names: dict[str, Any] = {}
    exec(compile(code, "docs/api.md", "exec"), names)  # noqa: S102 - our own document
    secret, body = signing.new_secret(), b'{"id": "7-0"}'
    headers = signing.headers(secret, "7-0", datetime(2026, 5, 1, tzinfo=UTC), body)
    assert names["is_from_csms"](secret, headers, body)
    assert not names["is_from_csms"](secret, headers, body + b" ")
    other = "whsec_" + base64.b64encode(b"x" * 24).decode()
    assert not names["is_from_csms"](other, headers, body)
