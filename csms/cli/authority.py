"""`csms ca`: the built-in certificate authority of a small installation, and the files for an authority outside.

Keys lie in the folder CSMS_CA_DIR; what was issued and revoked stands in the database.
"""

from pathlib import Path
from typing import Annotated, Any

import msgspec
import typer

from csms import clock
from csms.charging.overview import find_station
from csms.cli.opening import ACTOR, opened
from csms.cli.output import Json, Limit, moment, say, show_json, show_table
from csms.cli.refusals import Refusal, WrongArgument
from csms.commands import certificate_acts
from csms.commands.certificate_acts import CertificateRefused
from csms.config import Settings
from csms.errors import ConfigurationError
from csms.installation import Installation
from csms.operations import authority, security_store, security_views
from csms.operations.authority import KINDS, REASONS, Authority, Kind
from csms.operations.certificates import LONGEST_CHAIN, record_of
from csms.operations.security_views import CertificateFilter

commands = typer.Typer(
    epilog="""\b
Examples:
  csms ca init --name "Example Charging"
  csms ca issue server csms.example.org
  CSMS_OCPP_TLS_PORT=9443 csms serve
  csms ca revoke 3fa9c1 --reason "key compromise"
  csms ca export-requests --into requests && csms ca import signed/request-7.pem""",
)
issuing = typer.Typer()
commands.add_typer(issuing, name="issue", help="Issue certificates: of the server, of a station that can make no key.")

_ROOT_DAYS, _SERVER_DAYS = 7300, 397

Fingerprint = Annotated[
    str, typer.Argument(metavar="FINGERPRINT", help="Of the certificate, or its beginning (at least 8 digits).")
]


@commands.command("init")
def init(
    name: Annotated[str, typer.Option(help="What the roots are called.")] = "Charging",
    days: Annotated[int, typer.Option(min=1, max=36_500, help="How long the roots are valid.")] = _ROOT_DAYS,
) -> None:
    """Make the authority: an ECDSA and an RSA root, whose keys only this user can read."""
    with opened() as installation:
        settings = installation.settings
        try:
            made = authority.create(
                settings.authority_dir, name, settings.cpo_name, settings.ca_passphrase, days, clock.now()
            )
        except ConfigurationError as error:
            raise Refusal(str(error)) from None
        with installation.database.unit_of_work() as connection:
            for root in made.roots:
                known = record_of(root, "central system root", None, ACTOR)
                security_store.add_certificate(connection, known, clock.now())
        say(f"Made an authority in {settings.authority_dir}.")
        if not settings.ca_passphrase:
            say("Its keys are not encrypted: CSMS_CA_PASSPHRASE, set before, encrypts them.")
        say("Stations need its roots: `csms ca list`, or InstallCertificate from the portal.")


@issuing.command("server")
def issue_server(
    host: Annotated[str, typer.Argument(metavar="HOST", help="The name by which stations reach this server.")],
    days: Annotated[int, typer.Option(min=1, max=3650, help="How long they are valid.")] = _SERVER_DAYS,
) -> None:
    """Issue the server's ECDSA and RSA certificates; a running server takes them up within seconds."""
    if not host or " " in host or not host.isprintable():
        raise WrongArgument(f"{host!r} is no name of a host, such as csms.example.org.")
    with opened() as installation:
        signer = _loaded(installation.settings)
        issued = signer.issue_server(host, installation.settings.cpo_name, days, clock.now())
        with installation.database.unit_of_work() as connection:
            for one in issued:
                security_store.add_certificate(connection, record_of(one.facts, "server", None, ACTOR), clock.now())
        zone = installation.settings.time_zone
        say(f"Issued two certificates for {host} until {moment(issued[0].facts.not_after, zone)}.")


@issuing.command("station")
def issue_station(
    identity: Annotated[str, typer.Argument(metavar="IDENTITY", help="The charge point, such as CP-1.")],
    into: Annotated[Path, typer.Option("--into", help="Folder for IDENTITY.pem and IDENTITY.key.")],
    kind: Annotated[str, typer.Option(help=f"Kind of key: {' or '.join(KINDS)}.")] = "ecdsa",
) -> None:
    """Issue a certificate with its key, for a station that cannot make a request (SignCertificate) itself."""
    chosen: Kind = "rsa" if kind == "rsa" else "ecdsa"
    if kind not in KINDS:
        raise WrongArgument(f"--kind is {kind!r}: one of {', '.join(KINDS)}.")
    with opened() as installation:
        settings = installation.settings
        with installation.database.reading() as connection:
            station = find_station(connection, identity)
        if station is None:
            raise Refusal(f"There is no charge point {identity}. `csms station list` shows them.")
        issued = _loaded(settings).issue_station(
            identity, settings.cpo_name, chosen, settings.certificate_days, clock.now()
        )
        into.mkdir(parents=True, exist_ok=True)
        stem = "".join(one if one.isalnum() or one in "-_." else "_" for one in identity)
        authority.write_secret(into / f"{stem}.key", issued.key_pem)
        (into / f"{stem}.pem").write_text(issued.chain)
        with installation.database.unit_of_work() as connection:
            known = record_of(issued.facts, "station", station.charge_point_id, ACTOR)
            security_store.add_certificate(connection, known, clock.now())
        say(f"Wrote {into / stem}.pem and {into / stem}.key. Put both into the station, then delete the key.")


@commands.command("revoke")
def revoke(
    fingerprint: Fingerprint,
    reason: Annotated[str, typer.Option(help=f"One of: {', '.join(REASONS)}.")] = REASONS[0],
) -> None:
    """Revoke the certificate of a station: its next connection with it is refused."""
    with opened() as installation:
        try:
            with installation.database.unit_of_work() as connection:
                found = certificate_acts.revoke(connection, fingerprint, reason, ACTOR, clock.now())
            with installation.database.reading() as connection:
                certificate_acts.write_lists(connection, installation.settings, clock.now())
        except CertificateRefused as error:
            raise Refusal(str(error)) from None
        say(f"Revoked {found.subject} ({found.fingerprint[:16]}).")


@commands.command("list")
def show_list(limit: Limit = 1000, *, as_json: Json = False) -> None:
    """List certificates, those that end first at the beginning."""
    with opened() as installation:
        with installation.database.reading() as connection:
            found = security_views.list_certificates(connection, CertificateFilter(), limit=limit)
        if as_json:
            show_json([_as_json(one) for one in found])
            return
        zone = installation.settings.time_zone
        rows = [
            (
                one.fingerprint[:16],
                one.kind,
                one.subject,
                one.key_kind,
                moment(one.not_after, zone),
                "revoked" if one.revoked_at else "",
            )
            for one in found
        ]
        show_table(("fingerprint", "kind", "subject", "key", "ends", "state"), rows)


@commands.command("crl")
def write_crl() -> None:
    """Write the revocation lists again; they are good for 30 days, and a running server renews them by itself."""
    with opened() as installation:
        _loaded(installation.settings)
        with installation.database.reading() as connection:
            paths = certificate_acts.write_lists(connection, installation.settings, clock.now())
        say(f"Wrote {', '.join(map(str, paths))}.")


@commands.command("export-requests")
def export_requests(
    into: Annotated[Path, typer.Option("--into", help="Folder for the requests, one file each.")],
) -> None:
    """Write the requests of stations that wait, to be signed by an authority outside."""
    with opened() as installation:
        with installation.database.reading() as connection:
            waiting = security_views.list_requests(connection, state="waiting", limit=1000)
        if not waiting:
            say("No request waits.")
            return
        into.mkdir(parents=True, exist_ok=True)
        for one in waiting:
            (into / f"request-{one.request_id}.csr").write_text(one.csr_pem)
        show_table(
            ("file", "charge point", "subject", "key"),
            [(f"request-{one.request_id}.csr", one.charge_point, one.subject, one.key_kind) for one in waiting],
        )


@commands.command("import")
def import_chains(
    files: Annotated[list[Path], typer.Argument(metavar="FILE...", help="PEM: a certificate, then its intermediates.")],
) -> None:
    """Bring in what an authority outside signed; each certificate goes to the station that asked for it."""
    with opened() as installation:
        for path in files:
            try:
                text = path.read_text()
            except (OSError, UnicodeDecodeError) as error:
                raise Refusal(f"{path} cannot be read: {getattr(error, 'strerror', None) or error}.") from None
            _import(installation, path, text)


def _import(installation: Installation, path: Path, text: str) -> None:
    try:
        with installation.database.reading() as connection:
            issued = certificate_acts.answer_of(connection, text, ACTOR, most=LONGEST_CHAIN)
    except CertificateRefused as error:
        raise Refusal(f"{path}: {error}") from None
    if not installation.engine.execute(issued):
        raise Refusal(f"{path}: its request was decided already.")
    say(f"{path}: {issued.certificate.subject} is on its way to the station.")


@commands.command("add-root")
def add_root(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="PEM of one certificate of an authority.")],
    kind: Annotated[str, typer.Option(help="central system root or manufacturer root.")] = "manufacturer root",
) -> None:
    """Keep a root that can then be installed at stations."""
    with opened() as installation:
        try:
            root = certificate_acts.root_of(file.read_text(), kind, ACTOR)
            with installation.database.unit_of_work() as connection:
                certificate_acts.add_root(connection, root, clock.now())
        except CertificateRefused as error:
            raise Refusal(str(error)) from None
        except (OSError, UnicodeDecodeError) as error:
            raise Refusal(f"{file} cannot be read: {getattr(error, 'strerror', None) or error}.") from None
        say(f"Kept {root.subject} ({root.fingerprint[:16]}).")


def _loaded(settings: Settings) -> Authority:
    try:
        return authority.load(settings.authority_dir, settings.ca_passphrase)
    except ConfigurationError as error:
        raise Refusal(str(error)) from None


def _as_json(one: security_views.CertificateView) -> dict[str, Any]:
    return msgspec.structs.asdict(one)
