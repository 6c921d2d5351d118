"""Where webhooks may go: anywhere in public, and nowhere in our own network unless a setting names it."""

import socket
import threading
from contextlib import suppress

import pytest

from csms.webhooks.addresses import AddressRefused, Target, read_url, resolve
from csms.webhooks.sending import Outcome, send


@pytest.mark.parametrize(
    ("url", "target"),
    [
        ("https://example.com/a?b=c", Target(True, "example.com", 443, "/a?b=c")),
        ("http://Example.com:8080", Target(False, "example.com", 8080, "/")),
        ("https://[2606:4700::1111]/x", Target(True, "2606:4700::1111", 443, "/x")),
        ("https://[64:ff9b::8.8.8.8]/x", Target(True, "64:ff9b::8.8.8.8", 443, "/x")),
        ("http://93.184.215.14/", Target(False, "93.184.215.14", 80, "/")),
    ],
)
def test_a_public_address_is_taken(url: str, target: Target) -> None:
    assert read_url(url, ()) == target


@pytest.mark.parametrize(
    "url",
    [
        "ftp://example.com/",
        "file:///etc/passwd",
        "example.com",
        "https://",
        "https://user:secret@example.com/",
        "https://example.com/#part",
        "https://example.com:99999/",
        "https://exa mple.com/",
        "https://example.com/\r\nHost: other",
        "https://example.com/" + "x" * 500,
        "https://[::1",
    ],
)
def test_what_is_no_address_is_refused(url: str) -> None:
    with pytest.raises(AddressRefused):
        read_url(url, ())


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1",
        "169.254.169.254",
        "10.0.0.8",
        "172.16.5.5",
        "192.168.1.1",
        "100.64.0.1",
        "0.0.0.0",
        "224.0.0.1",
        "[::1]",
        "[fe80::1]",
        "[fd00:ec2::254]",
        "[::ffff:127.0.0.1]",
        "[::ffff:169.254.169.254]",
        "[64:ff9b::127.0.0.1]",
        "[64:ff9b::a9fe:a9fe]",
        "[64:ff9b:1::10.0.0.1]",
        "[2002:7f00:1::1]",
        "[2002:a00:1::]",
        "[2001:0:4136:e378:8000:63bf:f5ff:fffe]",
        "[::]",
    ],
)
def test_an_address_of_our_own_network_is_refused_unless_it_is_named(host: str) -> None:
    with pytest.raises(AddressRefused, match="CSMS_WEBHOOK_HOSTS"):
        read_url(f"http://{host}/", ())
    assert read_url(f"http://{host}/", {host.strip("[]")}).host == host.strip("[]")


def test_a_name_that_leads_into_our_own_network_is_refused_when_it_is_looked_up() -> None:
    target = read_url("http://localhost:9/", ())
    with pytest.raises(AddressRefused, match="CSMS_WEBHOOK_HOSTS"):
        resolve(target, ())
    assert resolve(target, {"localhost"})[1] == 9


@pytest.mark.parametrize("number", ["2130706433", "0x7f000001", "017700000001", "127.1"])
def test_other_ways_to_write_this_machine_do_not_get_by(number: str) -> None:
    assert send(f"http://{number}:9/", b"{}", {}, allowed=(), timeout_s=1).status is None
    assert "network of our own" in send(f"http://{number}:9/", b"{}", {}, allowed=(), timeout_s=1).error


@pytest.mark.parametrize(
    "beginning", [b"", b"HTTP/1.1 200 OK\r\nX: ", b"HTTP/1.1 200 OK\r\nContent-Length: 900\r\n\r\n"]
)
def test_a_receiver_that_drips_has_no_longer_than_one_that_is_silent(beginning: bytes) -> None:
    over = threading.Event()

    def drip(listening: socket.socket) -> None:
        link, _ = listening.accept()
        with link, suppress(OSError):
            link.sendall(beginning)
            while not over.wait(0.05):
                link.sendall(b"x")

    with socket.create_server(("127.0.0.1", 0)) as listening:
        dripping = threading.Thread(target=drip, args=(listening,))
        dripping.start()
        url = f"http://127.0.0.1:{listening.getsockname()[1]}/"
        outcome = send(url, b"{}", {}, allowed={"127.0.0.1"}, timeout_s=0.4)
        over.set()
        dripping.join()
    assert outcome == Outcome(None, "no answer within 0.4 s")


def test_nobody_there_is_an_outcome() -> None:
    outcome = send("http://127.0.0.1:9/", b"{}", {}, allowed={"127.0.0.1"}, timeout_s=1)
    assert (outcome.status, outcome.is_taken) == (None, False)
    assert "refused" in outcome.error
