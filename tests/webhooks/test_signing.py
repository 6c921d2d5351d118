"""The signature of a webhook, as the Standard Webhooks specification has it."""

from datetime import UTC, datetime

from csms.webhooks.signing import headers, new_secret, signature


def test_the_signature_is_that_of_the_specification() -> None:
    secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
    body = b'{"test": 2432232314}'
    assert signature(secret, "msg_p5jXN8AQM9LWM0D4loKWxJek", "1614265330", body) == (
        "g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
    )


def test_the_headers_carry_id_moment_and_signature() -> None:
    secret = new_secret()
    made = headers(secret, "7-0", datetime(2026, 5, 1, 9, 30, tzinfo=UTC), b"{}")
    assert made["webhook-id"] == "7-0"
    assert made["webhook-timestamp"] == "1777627800"
    assert made["webhook-signature"] == "v1," + signature(secret, "7-0", "1777627800", b"{}")


def test_another_secret_body_id_or_moment_has_another_signature() -> None:
    secret = new_secret()
    known = signature(secret, "1", "2", b"3")
    assert known not in {
        signature(new_secret(), "1", "2", b"3"),
        signature(secret, "2", "2", b"3"),
        signature(secret, "1", "3", b"3"),
        signature(secret, "1", "2", b"4"),
    }
