"""What every answer carries so that a browser keeps the portal apart from the rest of the web.

A pure ASGI wrapper; knows no page. The policy allows nothing inline and nothing from another host.
"""

import structlog
from h11 import LocalProtocolError
from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

log = structlog.get_logger()

# Pico.css draws its arrows and ticks as data: images.
CONTENT_SECURITY_POLICY = (
    "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
_HEADERS = {
    "content-security-policy": CONTENT_SECURITY_POLICY,
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
}
_STATIC_FOR = "public, max-age=31536000, immutable"  # addresses of assets carry their content's digest


class SecurityHeaders:
    """Adds the headers to every answer; pages are never kept by caches, assets are."""

    def __init__(self, app: ASGIApp, *, https: bool) -> None:
        """With `https`, browsers are told to insist on it."""
        self._app = app
        self._https = https

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        is_asset = scope["path"].startswith("/static/") and b"v=" in scope["query_string"]

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in _HEADERS.items():
                    headers[name] = value
                if self._https:
                    headers["strict-transport-security"] = "max-age=31536000"
                headers.setdefault("cache-control", _STATIC_FOR if is_asset else "no-store")
            try:
                await send(message)
            except LocalProtocolError as error:  # what came after its request was no HTTP: nothing can be answered
                log.info("an answer could not be sent", path=scope["path"], error=str(error))

        await self._app(scope, receive, send_with_headers)
