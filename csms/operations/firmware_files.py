"""The firmware library: which files there are, for which stations, signed or not, and whether they are in use.

Works on a connection inside somebody else's unit of work; knows rows, not disks.
"""

from datetime import datetime

import msgspec
from sqlalchemy import Connection, and_, exists, func, insert, or_, select, update

from csms.charging import models
from csms.db import as_fact
from csms.operations.file_store import Stored
from csms.operations.files_models import file_transfer, firmware, firmware_campaign
from csms.operations.firmware_signature import SignatureCheck, SignatureState

_f, _t, _campaign, _cp = firmware.c, file_transfer.c, firmware_campaign.c, models.charge_point.c


class Firmware(msgspec.Struct, frozen=True):
    """A firmware file; fields as in the table `firmware`."""

    firmware_id: int
    name: str
    vendor: str
    model: str
    version: str
    size_bytes: int
    sha256: str
    stored_name: str
    signature: str
    signing_certificate: str
    signature_state: SignatureState
    signature_note: str
    uploaded_by: str
    created_at: datetime
    deleted_at: datetime | None = None

    @property
    def is_signed(self) -> bool:
        """Whether SignedUpdateFirmware can carry it; a wrong signature can be sent on purpose."""
        return bool(self.signature and self.signing_certificate)


class FirmwareView(msgspec.Struct, frozen=True):
    """A firmware file, and how often it was sent: updates that go on, that ended well, and that did not."""

    firmware: Firmware
    running: int
    done: int
    failed: int


_FIELDS = [_f.id, *(_f[name] for name in Firmware.__struct_fields__[1:])]


def add_firmware(connection: Connection, new: Firmware) -> Firmware:
    """Add a file that lies on disk already; its number is given here."""
    row = {name: getattr(new, name) for name in Firmware.__struct_fields__[1:]}
    number: int = connection.execute(insert(firmware).returning(_f.id), row).scalar_one()
    return msgspec.structs.replace(new, firmware_id=number)


def entry_of(
    stored: Stored,
    about: tuple[str, str, str],
    signed: tuple[str, str],
    checked: SignatureCheck,
    uploaded_by: str,
    now: datetime,
) -> Firmware:
    """Return what the library says of a file that was stored; it has no number yet.

    `about` are vendor, model and version; `signed` the signature in base64 and the certificate in PEM, "" without.
    """
    return Firmware(
        0,
        stored.name,
        *about,
        stored.size_bytes,
        stored.sha256,
        stored.stored_name,
        *signed,
        checked.state,
        checked.note,
        uploaded_by,
        now,
    )


def find_firmware(connection: Connection, firmware_id: int, *, deleted: bool = False) -> Firmware | None:
    """Return a file by its number; one that was deleted only where that is wanted."""
    statement = select(*_FIELDS).where(_f.id == firmware_id)
    if not deleted:
        statement = statement.where(_f.deleted_at.is_(None))
    row = connection.execute(statement).first()
    return None if row is None else as_fact(Firmware, row)


def find_same(connection: Connection, sha256: str, signature: str) -> Firmware | None:
    """Return the file that has this content and signature already."""
    same = and_(_f.sha256 == sha256, _f.signature == signature, _f.deleted_at.is_(None))
    row = connection.execute(select(*_FIELDS).where(same)).first()
    return None if row is None else as_fact(Firmware, row)


def count_firmware(connection: Connection) -> int:
    """Return how many files there are."""
    statement = select(func.count()).select_from(firmware).where(_f.deleted_at.is_(None))
    return int(connection.execute(statement).scalar_one())


def list_firmware(
    connection: Connection, *, limit: int, offset: int = 0, before: int | None = None
) -> list[FirmwareView]:
    """Return the files, the newest first, with the counts of their updates."""
    statement = select(*_FIELDS).where(_f.deleted_at.is_(None)).order_by(_f.id.desc()).limit(limit).offset(offset)
    if before is not None:
        statement = statement.where(_f.id < before)
    files = [as_fact(Firmware, row) for row in connection.execute(statement)]
    counts = _counts(connection, [one.firmware_id for one in files])
    return [FirmwareView(one, *counts.get(one.firmware_id, (0, 0, 0))) for one in files]


def view_firmware(connection: Connection, firmware_id: int) -> FirmwareView | None:
    """Return one file with the counts of its updates."""
    one = find_firmware(connection, firmware_id)
    return None if one is None else FirmwareView(one, *_counts(connection, [firmware_id]).get(firmware_id, (0, 0, 0)))


def _counts(connection: Connection, firmware_ids: list[int]) -> dict[int, tuple[int, int, int]]:
    statement = (
        select(_t.firmware_id, _t.state, func.count())
        .where(_t.firmware_id.in_(firmware_ids))
        .group_by(_t.firmware_id, _t.state)
    )
    found: dict[int, list[int]] = {}
    for firmware_id, state, count in connection.execute(statement):
        place = 0 if state in {"waiting", "running"} else 1 if state == "done" else 2
        found.setdefault(firmware_id, [0, 0, 0])[place] += count
    return {key: (one[0], one[1], one[2]) for key, one in found.items()}


def is_in_use(connection: Connection, firmware_id: int) -> bool:
    """Tell whether a station may still fetch it, or a campaign go on with it."""
    fetching = exists().where(_t.firmware_id == firmware_id, _t.state.in_(("waiting", "running", "stalled")))
    planned = exists().where(_campaign.firmware_id == firmware_id, _campaign.state.in_(("running", "paused")))
    return bool(connection.execute(select(or_(fetching, planned))).scalar_one())


def delete_firmware(connection: Connection, firmware_id: int, now: datetime) -> Firmware | None:
    """Take a file out of the library and return it, so that the disk can follow; None where it is in use or gone."""
    one = find_firmware(connection, firmware_id)
    if one is None or is_in_use(connection, firmware_id):
        return None
    connection.execute(update(firmware).where(_f.id == firmware_id).values(deleted_at=now))
    return one


def set_signature(
    connection: Connection, firmware_id: int, signature: str, certificate: str, checked: SignatureCheck
) -> None:
    """Give a file its signature, with what was found when it was checked."""
    values = {
        "signature": signature,
        "signing_certificate": certificate,
        "signature_state": checked.state,
        "signature_note": checked.note,
    }
    connection.execute(update(firmware).where(_f.id == firmware_id).values(values))


def stored_names(connection: Connection) -> set[str]:
    """Return the names on disk of all files."""
    return set(connection.execute(select(_f.stored_name).where(_f.deleted_at.is_(None))).scalars())


def suits(one: Firmware, vendor: str, model: str) -> bool:
    """Tell whether a firmware is for stations of a make; what is not said of either fits all."""
    wrong_vendor = one.vendor and vendor and one.vendor.casefold() != vendor.casefold()
    wrong_model = one.model and model and one.model.casefold() != model.casefold()
    return not (wrong_vendor or wrong_model)
