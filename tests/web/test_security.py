"""The pages of the security of links: what is seen, what is asked of a station, certificates brought in and revoked."""

from datetime import timedelta
from pathlib import Path

import httpx
import pytest
from sqlalchemy import select

from csms import clock
from csms.charging import models
from csms.charging.stations import AddChargePoint, hash_key
from csms.operations import authority, security_store, security_views
from csms.operations import security_models as tables
from csms.operations.certificate_reading import hash_data, read_certificates, read_csr
from csms.operations.certificates import AskForCertificate, InstalledReport, record_of
from csms.operations.link_security import SetProfile
from csms.operations.security_events import SecurityNotification
from tests.support.tls import CPO, make_authority, make_request
from tests.web.portal import Browser, PortalWorld

STATION, SALT = 1, "00" * 16
NASTY = "<script>alert(1)</script>"


@pytest.fixture(scope="module")
def made_authority(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of an authority outside."""
    folder = tmp_path_factory.mktemp("authority") / "outside"
    make_authority(folder)
    return folder


@pytest.fixture
async def stocked(sqlite_portal: PortalWorld) -> PortalWorld:
    """A portal with the station YARD-1, which has a key."""
    added = await sqlite_portal.engine.submit(AddChargePoint("YARD-1", 1, SALT, hash_key(bytes(20), SALT)))
    assert added == STATION
    return sqlite_portal


def commands(portal: PortalWorld) -> list[tuple[str, str]]:
    """Return action and payload of the commands, oldest first."""
    with portal.database.reading() as connection:
        rows = connection.execute(select(models.command).order_by(models.command.c.id))
        return [(row.action, row.payload_json) for row in rows]


async def upload(browser: Browser, path: str, text: str, **fields: str) -> httpx.Response:
    """Send a form with a file."""
    files = {"file": ("chain.pem", text.encode(), "text/plain")}
    response = await browser.client.post(
        path, data={"csrf": browser.csrf, **fields}, files=files, follow_redirects=True
    )
    browser._saw(response)
    return response


async def test_the_security_of_a_station_is_shown_and_changed_by_an_administrator_alone(stocked: PortalWorld) -> None:
    operator = await stocked.logged_in("operator")
    assert (await operator.get(f"/stations/{STATION}/security")).status_code == 200
    assert "Give it a new key" not in operator.text
    for act in ("key", "renew", "upgrade", "profile", "install", "ask", "uninstall"):
        assert (await operator.post(f"/stations/{STATION}/security/{act}")).status_code == 403
    browser = await stocked.logged_in("administrator")
    await browser.get(f"/stations/{STATION}/security")
    assert (await browser.post(f"/stations/{STATION}/security/key")).status_code == 200
    await browser.post(f"/stations/{STATION}/security/renew")
    await browser.post(f"/stations/{STATION}/security/ask")
    assert "on its way to the station" in browser.text
    sent = commands(stocked)
    assert [action for action, _ in sent] == [
        "ChangeConfiguration",
        "ExtendedTriggerMessage",
        *["GetInstalledCertificateIds"] * 2,
    ]
    assert "made when it is sent" in sent[0][1]
    assert (await browser.get("/stations/99/security")).status_code == 404


async def test_a_profile_is_raised_over_ocpp_and_lowered_with_a_reason_only(stocked: PortalWorld) -> None:
    browser = await stocked.logged_in("administrator")
    await browser.get(f"/stations/{STATION}/security")
    assert (await browser.post(f"/stations/{STATION}/security/upgrade", upgrade_to="1")).status_code == 422
    assert "or a higher one, already" in browser.text
    await browser.post(f"/stations/{STATION}/security/upgrade", upgrade_to="2")
    assert commands(stocked) == [("ChangeConfiguration", '{"key":"SecurityProfile","value":"2"}')]
    await stocked.engine.submit(SetProfile(STATION, 2, "", "test"))
    assert (await browser.post(f"/stations/{STATION}/security/profile", profile="0")).status_code == 422
    assert "Please say why it is lowered." in browser.text
    await browser.post(f"/stations/{STATION}/security/profile", profile="0", reason=f"{NASTY} broken")
    assert "<script>alert" not in (await browser.client.get(f"/stations/{STATION}/security")).text
    with stocked.database.reading() as connection:
        found = security_views.find_station_security(connection, STATION)
    assert found is not None
    assert found.security_profile == 0
    await browser.get("/security-events")
    assert "SecurityProfileLowered" in browser.text


async def test_roots_are_kept_installed_and_deleted_as_the_station_names_them(
    stocked: PortalWorld, made_authority: Path
) -> None:
    pem = (made_authority / "root-rsa.pem").read_text()
    browser = await stocked.logged_in("administrator")
    await browser.get("/certificates")
    assert "There is none yet" in browser.text
    wrong = (made_authority / "server-rsa.pem").read_text()
    assert (await upload(browser, "/certificates/roots", wrong, kind="manufacturer root")).status_code == 422
    assert "not that of an authority" in browser.text
    await upload(browser, "/certificates/roots", pem, kind="central system root")
    assert "It can be installed" in browser.text
    assert (await upload(browser, "/certificates/roots", pem, kind="central system root")).status_code == 422
    root = read_certificates(pem)[0]
    await browser.post(f"/stations/{STATION}/security/install", root=root.fingerprint)
    await browser.post(f"/stations/{STATION}/security/install", root="ff")
    assert [action for action, _ in commands(stocked)] == ["InstallCertificate"]
    named = hash_data(pem)[1]
    with stocked.database.unit_of_work() as connection:
        report = InstalledReport(STATION, "CentralSystemRootCertificate", (named,))
        security_store.write_reports(connection, [report], clock.now())
    await browser.get(f"/stations/{STATION}/security")
    assert root.subject in browser.text
    hidden = {name: getattr(named, name) for name in named.__struct_fields__}
    await browser.post(f"/stations/{STATION}/security/uninstall", **hidden)
    await browser.post(f"/stations/{STATION}/security/uninstall", **(hidden | {"serial_number": "1"}))
    assert "does not have this certificate any more" in browser.text
    (_, (action, payload)) = commands(stocked)
    assert (action, named.issuer_key_hash in payload) == ("DeleteCertificate", True)
    assert (await browser.client.get(f"/certificates/{root.fingerprint}")).text == root.pem


async def test_a_request_is_downloaded_signed_outside_and_brought_in(
    stocked: PortalWorld, made_authority: Path
) -> None:
    csr, _ = make_request("YARD-1", CPO)
    assert await stocked.engine.submit(AskForCertificate(STATION, read_csr(csr), clock.now()))
    browser = await stocked.logged_in("administrator")
    await browser.get("/certificates")
    assert "Waiting to be signed" in browser.text
    downloaded = (await browser.client.get("/certificate-requests/1")).text
    signed = authority.load(made_authority, "").sign(read_csr(downloaded), 5, clock.now())
    assert (await upload(browser, "/certificates/chain", "nothing")).status_code == 422
    await upload(browser, "/certificates/chain", signed.chain)
    assert "on its way to the station that asked" in browser.text
    assert (await upload(browser, "/certificates/chain", signed.chain)).status_code == 422
    assert (await browser.get("/certificate-requests/1")).status_code == 404
    assert [action for action, _ in commands(stocked)] == ["CertificateSigned"]
    await browser.get("/certificates", kind="station")
    assert "YARD-1" in browser.text
    await browser.post(f"/certificates/{signed.facts.fingerprint}/revoke", reason="superseded")
    assert "next connection with it is refused" in browser.text
    assert (
        await browser.post(f"/certificates/{signed.facts.fingerprint}/revoke", reason="superseded")
    ).status_code == 422
    with stocked.database.reading() as connection:
        (row,) = connection.execute(select(tables.certificate)).all()
    assert (row.revocation_reason, row.revoked_by) == ("superseded", "staff administrator")


async def test_ends_of_certificates_are_seen(stocked: PortalWorld, made_authority: Path) -> None:
    outside, now = authority.load(made_authority, ""), clock.now()
    soon = outside.issue_station("YARD-1", CPO, "ecdsa", 3, now)
    over = outside.issue_station("YARD-1", CPO, "ecdsa", 1, now - timedelta(days=3))
    with stocked.database.unit_of_work() as connection:
        for one in (soon, over):
            security_store.add_certificate(connection, record_of(one.facts, "station", STATION, "test"), now)
    browser = await stocked.logged_in("operator")
    for path in ("/certificates", f"/stations/{STATION}/security"):
        await browser.get(path)
        assert "Ends soon" in browser.text
        assert "Ended" in browser.text
        assert "Revoke</button>" not in browser.text


async def test_events_are_filtered_and_paged(stocked: PortalWorld) -> None:
    browser = await stocked.logged_in("operator")
    await browser.get("/security-events")
    assert "No station has told of anything yet" in browser.text
    for number in range(stocked.settings.page_size + 1):
        kind = "TamperDetectionActivated" if number == 0 else "InvalidMessages"
        told = SecurityNotification(STATION, kind, clock.now(), str(number), clock.now(), f"{NASTY} {number}")
        await stocked.engine.submit(told)
    html = (await browser.client.get("/security-events")).text
    assert NASTY not in html
    assert "Page 1 of 2" in html
    await browser.get("/security-events", critical="yes")
    assert browser.text.count("TamperDetectionActivated") >= 1
    assert browser.text.count("InvalidMessages") == 2  # as value and text in the list of types, and in no row
    await browser.get("/security-events", station="nobody")
    assert "No event is like this" in browser.text


async def test_a_station_is_added_with_each_profile(stocked: PortalWorld) -> None:
    browser = await stocked.logged_in("administrator")
    for profile, said in (("2", "wss://"), ("3", "client certificate"), ("1", "ws://"), ("0", "without a key")):
        await browser.get("/stations/add")
        await browser.post("/stations/add", identity=f"NEW-{profile}", profile=profile)
        assert said in browser.text
        assert ('id="key"' in browser.text) == (profile in {"1", "2"})
