"""`csms ca` and `csms security`: an authority in a folder, requests to one outside, keys and profiles of stations."""

from pathlib import Path

import pytest
from sqlalchemy import select

from csms import clock
from csms.charging import models
from csms.cli.opening import opened
from csms.operations import authority
from csms.operations.certificate_reading import read_certificates, read_csr
from csms.operations.certificates import AskForCertificate
from csms.operations.security_events import SecurityNotification
from tests.cli.conftest import Csms
from tests.support.tls import make_authority, make_request


@pytest.fixture(scope="module")
def outside(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of an authority outside."""
    folder = tmp_path_factory.mktemp("authority") / "outside"
    make_authority(folder)
    return folder


def _folder() -> Path:
    with opened() as installation:
        return installation.settings.authority_dir


def _commands() -> list[str]:
    with opened() as installation, installation.database.reading() as connection:
        return list(connection.execute(select(models.command.c.action).order_by(models.command.c.id)).scalars())


def test_an_authority_is_made_once_and_issues_certificates_of_the_server(csms: Csms) -> None:
    assert "csms ca init" in csms("ca", "issue", "server", "localhost", status=1).err
    assert "Made an authority" in csms("ca", "init", "--name", "Harbour").out
    assert "already" in csms("ca", "init", status=1).err
    assert "Issued two certificates" in csms("ca", "issue", "server", "csms.example.org").out
    assert "no name of a host" in csms("ca", "issue", "server", "a b", status=2).err
    kinds = sorted(one["kind"] for one in csms("ca", "list", "--json").json)
    assert kinds == ["central system root"] * 2 + ["server"] * 2
    for key in _folder().glob("*.key"):
        assert key.stat().st_mode & 0o077 == 0


def test_a_certificate_is_issued_for_a_station_and_revoked(csms: Csms, tmp_path: Path) -> None:
    csms("ca", "init")
    csms("station", "add", "CP 1".replace(" ", "-"), "--security-profile", "3")
    into = tmp_path / "out"
    assert "no charge point" in csms("ca", "issue", "station", "CP-9", "--into", str(into), status=1).err
    csms("ca", "issue", "station", "CP-1", "--into", str(into), "--kind", "rsa")
    csms("ca", "issue", "station", "CP-1", "--into", str(into), "--kind", "dsa", status=2)
    leaf = read_certificates((into / "CP-1.pem").read_text())[0]
    assert (leaf.common_name, leaf.key_kind) == ("CP-1", "RSA 2048")
    assert (into / "CP-1.key").stat().st_mode & 0o077 == 0
    assert "Revoked" in csms("ca", "revoke", leaf.fingerprint[:12], "--reason", "key compromise").out
    assert "before" in csms("ca", "revoke", leaf.fingerprint, status=1).err
    assert "has to be one of" in csms("ca", "revoke", leaf.fingerprint, "--reason", "nix", status=1).err
    assert "Wrote" in csms("ca", "crl").out


def test_requests_go_to_an_authority_outside_and_chains_come_back(csms: Csms, tmp_path: Path, outside: Path) -> None:
    csms("station", "add", "CP-1")
    assert "No request waits" in csms("ca", "export-requests", "--into", str(tmp_path)).out
    with opened() as installation:
        asked = AskForCertificate(1, read_csr(make_request("CP-1")[0]), clock.now())
        assert installation.engine.execute(asked)
    assert "request-1.csr" in csms("ca", "export-requests", "--into", str(tmp_path)).out
    request = read_csr((tmp_path / "request-1.csr").read_text())
    (tmp_path / "signed.pem").write_text(authority.load(outside, "").sign(request, 5, clock.now()).chain)
    (tmp_path / "wrong.pem").write_text("nothing")
    assert "no chain" in csms("ca", "import", str(tmp_path / "wrong.pem"), status=1).err
    assert "cannot be read" in csms("ca", "import", str(tmp_path / "missing.pem"), status=1).err
    assert "on its way" in csms("ca", "import", str(tmp_path / "signed.pem")).out
    assert "No request that waits" in csms("ca", "import", str(tmp_path / "signed.pem"), status=1).err
    assert _commands() == ["CertificateSigned"]
    root = str(outside / "root-rsa.pem")
    assert "Kept" in csms("ca", "add-root", root, "--kind", "manufacturer root").out
    assert "already" in csms("ca", "add-root", root, status=1).err


def test_profiles_keys_and_events_of_stations(csms: Csms) -> None:
    csms("station", "add", "CP-1", "--security-profile", "2")
    assert csms("security", "show", "CP-1", "--json").json["security_profile"] == 2
    assert "--reason" in csms("security", "profile", "CP-1", "1", status=2).err
    csms("security", "profile", "CP-1", "1", "--reason", "broken")
    csms("security", "rotate-key", "CP-1")
    csms("security", "renew-certificate", "CP-1")
    assert "give a higher one" in csms("security", "upgrade", "CP-1", "1", status=2).err
    csms("security", "upgrade", "CP-1", "3")
    assert _commands() == ["ChangeConfiguration", "ExtendedTriggerMessage", "ChangeConfiguration"]
    with opened() as installation:
        said = SecurityNotification(1, "TamperDetectionActivated", clock.now(), "now", clock.now(), "door")
        installation.engine.execute(said)
    assert [one["type"] for one in csms("security", "events", "--json").json] == [
        "TamperDetectionActivated",
        "SecurityProfileLowered",
    ]
    (critical,) = csms("security", "events", "--critical", "--station", "CP-1", "--json").json
    assert critical["tech_info"] == "door"
    for words in (("show", "CP-9"), ("rotate-key", "CP-9"), ("events", "--station", "CP-9")):
        assert "no charge point" in csms("security", *words, status=1).err
    csms("station", "add", "CP-0", "--security-profile", "0")
    assert "no key yet" in csms("security", "profile", "CP-0", "2", status=1).err
