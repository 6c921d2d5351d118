"""Reads a form that brings a file: its fields and the bytes. Knows no page; how much is read is limited before."""

from collections.abc import AsyncGenerator

from starlette.datastructures import UploadFile
from starlette.exceptions import HTTPException
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import Request

from csms.web.forms import clean

_MOST_FIELDS = 20
_AGAIN = "text"  # the field in which a page hands the text of a file on, to be sent once more


async def read_upload(request: Request, body: bytes) -> tuple[dict[str, str], bytes]:
    """Return the fields and the file of a multipart body; raise 400 where it is none."""

    async def stream() -> AsyncGenerator[bytes, None]:
        yield body

    parser = MultiPartParser(
        request.headers, stream(), max_files=1, max_fields=_MOST_FIELDS, max_part_size=max(1, len(body))
    )
    try:
        parts = await parser.parse()
    except (MultiPartException, KeyError, UnicodeDecodeError):
        raise HTTPException(400, "The form could not be read. Nothing was changed.") from None
    fields: dict[str, str] = {}
    file = b""
    for name, value in parts.multi_items():
        if isinstance(value, UploadFile):
            file = file or await value.read()
            fields[f"{name}_name"] = clean(value.filename or "")
        elif name == _AGAIN:
            file = file or value.encode()
        else:
            fields[name] = clean(value)
    await parts.close()
    return fields, file
