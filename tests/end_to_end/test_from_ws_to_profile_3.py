"""A simulated station on its way from `ws://` to a client certificate, told by an operator at the API alone."""

from pathlib import Path

import pytest
from websockets.exceptions import InvalidStatus

from chargepoint_sim import Station
from chargepoint_sim.security import Given
from csms.charging.models import charge_point
from csms.charging.stations import AddChargePoint, hash_key
from csms.operations import security_models as tables
from tests.chargepoint_sim.conftest import QUICK
from tests.conformance.harness import Operator, open_operator
from tests.conftest import settings_for
from tests.support.tls import CPO, make_authority
from tests.support.waiting import until

KEY, SALT = bytes(range(20)), "00" * 16


def profile_of(operator: Operator) -> int:
    """Return the profile that the station reached."""
    (row,) = operator.stored(charge_point, charge_point.c.id == operator.charge_point_id)
    return int(row["security_profile"])


async def told(operator: Operator, action: str, **payload: str) -> None:
    """Ask for a command and wait until the station has accepted it."""
    done = await (await operator.command(action, payload)).done()
    assert done.state == "accepted", done


async def test_a_station_goes_from_a_key_over_tls_to_a_certificate_and_never_back(
    sqlite_url: str, tmp_path: Path
) -> None:
    ca = tmp_path / "ca"
    make_authority(ca)
    roots = tmp_path / "roots.pem"
    roots.write_text("".join(path.read_text() for path in sorted(ca.glob("root-*.pem"))))
    settings = settings_for(sqlite_url, tmp_path, minimum_security_profile=1, ocpp_tls_port=0, cpo_name=CPO)
    async with open_operator(settings) as operator:
        added = AddChargePoint("SIM-1", 1, SALT, hash_key(KEY, SALT))
        operator.charge_point_id = await operator.world.submit(added)
        plain = f"ws://127.0.0.1:{operator.running.ocpp_port}/ocpp"
        secure = f"wss://localhost:{operator.running.ocpp_tls_port}/ocpp"
        station = Station(
            "SIM-1",
            plain,
            key=KEY.hex(),
            given=Given(ca=roots),
            secure_url=secure,
            timing=QUICK,
            configuration={"CpoName": CPO},
        )
        async with station:
            await station.wait_online()
            await operator.post(f"/charge-points/{operator.charge_point_id}/key-rotation", {"wait_s": 10})
            assert station.configuration["AuthorizationKey"] != KEY.hex()
            await told(operator, "ChangeConfiguration", key="SecurityProfile", value="2")
            await told(operator, "Reset", type="Hard")
            await until(lambda: profile_of(operator) == 2)
            await station.wait_online()
            await told(operator, "ExtendedTriggerMessage", requestedMessage="SignChargePointCertificate")
            await until(lambda: [one["state"] for one in operator.stored(tables.certificate_request)] == ["installed"])
            await told(operator, "ChangeConfiguration", key="SecurityProfile", value="3")
            await told(operator, "Reset", type="Hard")
            await until(lambda: profile_of(operator) == 3)
            await station.wait_online()
            (shown,) = operator.stored(tables.station_security)
            assert shown["shown_subject"] == f"CN=SIM-1,O={CPO}"
        for key in (KEY, bytes.fromhex(station.configuration["AuthorizationKey"])):
            with pytest.raises(InvalidStatus) as refused:
                async with operator.station("SIM-1", key=key):
                    raise AssertionError("it was let in")
            assert refused.value.response.status_code == 403
