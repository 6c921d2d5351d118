"""SignCertificate (Security Whitepaper, 5.17; A02 and A03): a charge point asks for a certificate for its new key."""

from csms.handlers.exchange import Exchange
from csms.handlers.messages import SignCertificate, SignCertificateResult
from csms.operations.certificate_reading import read_csr
from csms.operations.certificates import AskForCertificate


async def handle(call: SignCertificate, exchange: Exchange) -> SignCertificateResult:
    """Keep the request; it is signed later, and then sent with CertificateSigned."""
    asked = AskForCertificate(exchange.charge_point_id, read_csr(call.csr), exchange.now)
    accepted: bool = await exchange.submit(asked)
    return SignCertificateResult(status="Accepted" if accepted else "Rejected")
