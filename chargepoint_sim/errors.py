"""What can go wrong for a simulated charge point.

    SimulatorError
    ├── UsageError               an argument that cannot work: a URL without ws://, an odd key
    ├── NotPossibleError         what a person asked for does not fit the state, such as plugging in twice
    ├── CertificateError         a certificate that cannot be trusted
    ├── TransferError            a file that could not be fetched or brought
    ├── LinkError                no connection came about
    │   ├── UnreachableError     nobody answered there, or it was no WebSocket server
    │   ├── PasswordRefusedError HTTP 401 or 403
    │   ├── UnknownIdentityError HTTP 404
    │   ├── SubprotocolRefusedError  the peer does not speak ocpp1.6
    │   ├── TlsRefusedError      no common suite, or the peer does not trust the station's certificate
    │   └── UntrustedError       the station does not trust the peer's certificate
    └── NotAnsweredError         a call without a call result
        ├── CallRefusedError     a call error, or a result that breaks the schema
        ├── AnswerTimeoutError   silence
        └── LinkLostError        the connection went first

Each message is one sentence for a person.
"""

from __future__ import annotations


class SimulatorError(Exception):
    """The root of everything this package raises on purpose."""


class UsageError(SimulatorError):
    """An argument that can never work."""


class NotPossibleError(SimulatorError):
    """An act of a person that does not fit the state of the station."""


class CertificateError(SimulatorError):
    """A certificate that cannot be trusted; the sentence says why."""


class TransferError(SimulatorError):
    """A file that could not be fetched or brought. status: what LogStatusNotification says of it."""

    def __init__(self, message: str, status: str = "UploadFailure") -> None:
        super().__init__(message)
        self.status = status


class LinkError(SimulatorError):
    """No connection to the central system came about."""


class UnreachableError(LinkError):
    """Nobody answered at that address, or not as a WebSocket server."""


class PasswordRefusedError(LinkError):
    """The central system refused the credentials."""


class UnknownIdentityError(LinkError):
    """The central system does not know this identity or this path."""


class SubprotocolRefusedError(LinkError):
    """The peer did not choose ocpp1.6 (OCPP-J 1.6, 3.2)."""


class TlsRefusedError(LinkError):
    """TLS could not be agreed on, or the peer refused our certificate. event: the security event that says which."""

    def __init__(self, message: str, event: str = "FailedToAuthenticateAtCentralSystem") -> None:
        super().__init__(message)
        self.event = event


class UntrustedError(LinkError):
    """The certificate of the peer cannot be trusted."""


class NotAnsweredError(SimulatorError):
    """A call that got no call result."""


class CallRefusedError(NotAnsweredError):
    """A call error, or a call result that cannot be read."""

    def __init__(self, action: str, code: str, description: str) -> None:
        super().__init__(f"{action} was answered with {code}: {description or 'no description'}")
        self.code = code


class AnswerTimeoutError(NotAnsweredError):
    """The peer stayed silent for the whole answer timeout."""


class LinkLostError(NotAnsweredError):
    """The connection ended before the answer came."""
