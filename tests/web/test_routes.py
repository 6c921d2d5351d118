"""Every address of the portal, for every role: who gets in, who is told no, and who is sent to log in."""

import re

import pytest

from csms.web.guard import Page
from csms.web.permissions import GRANTS, PERMISSIONS, ROLES, Role, may
from csms.web.routes import PAGES
from tests.web.portal import PASSWORD, PortalWorld

PROTECTED = [page for page in PAGES if page.access != "anyone"]


def _address(page: Page) -> str:
    return re.sub(r"{[a-z_]+:int}", "1", page.path).replace("{token}", "none")


@pytest.mark.parametrize("role", ROLES)
async def test_each_page_lets_in_exactly_the_roles_of_the_table(sqlite_portal: PortalWorld, role: Role) -> None:
    browser = await sqlite_portal.logged_in(role)
    for page in PROTECTED:
        if page.path == "/logout":
            continue
        allowed = page.access == "any login" or may(role, page.access)  # type: ignore[arg-type]
        send = browser.client.get if page.method == "GET" else browser.client.post
        data = {} if page.method == "GET" else {"data": {"csrf": browser.csrf}}
        response = await send(_address(page), **data)  # type: ignore[operator]
        assert (response.status_code != 403) == allowed, f"{role} at {page.method} {page.path}: {response.status_code}"
        assert response.status_code < 500, f"{page.path}: {response.status_code}"


async def test_nobody_gets_in_without_a_login(sqlite_portal: PortalWorld) -> None:
    for page in PROTECTED:
        client = sqlite_portal.browser().client
        send = client.get if page.method == "GET" else client.post
        response = await send(_address(page))
        where = f"{page.method} {page.path}: {response.status_code}"
        if page.live:
            assert (response.status_code, response.headers["HX-Redirect"]) == (401, "/login"), where
        else:
            assert response.status_code == 303, where
            assert response.headers["location"].startswith("/login"), where


async def test_no_form_is_taken_without_its_token(sqlite_portal: PortalWorld) -> None:
    administrator = await sqlite_portal.logged_in("administrator")
    before = sqlite_portal.entries()
    for page in [one for one in PAGES if one.method == "POST"]:
        browser = sqlite_portal.browser() if page.access == "anyone" else administrator
        for csrf in ("", "x" * 43, "ü"):
            response = await browser.client.post(_address(page), data={"csrf": csrf, "username": "cashier"})
            assert response.status_code == 403, page.path
            assert "Nothing was booked or changed" in response.text, page.path
        assert sqlite_portal.entries() == before, page.path
    assert (await administrator.client.get("/dashboard")).status_code == 200


async def test_the_token_of_one_login_does_not_fit_another(sqlite_portal: PortalWorld) -> None:
    first, second = await sqlite_portal.logged_in("cashier"), await sqlite_portal.logged_in("supervisor")
    second.csrf = first.csrf
    assert (await second.post("/card/state", tag="04A1B2C3D4", state="blocked")).status_code == 403


def test_every_permission_is_used_and_every_role_has_a_first_page() -> None:
    used = {page.access for page in PAGES}
    assert set(PERMISSIONS) <= used
    assert set(GRANTS) == set(ROLES)


@pytest.mark.parametrize(
    ("role", "first"),
    [
        ("cashier", "/desk"),
        ("supervisor", "/desk"),
        ("operator", "/dashboard"),
        ("accountant", "/transactions"),
        ("administrator", "/dashboard"),
    ],
)
async def test_a_login_leads_to_the_first_page_of_the_role(sqlite_portal: PortalWorld, role: Role, first: str) -> None:
    response = await sqlite_portal.browser().log_in(role, PASSWORD)
    assert response.url.path == first


async def test_every_answer_keeps_the_browser_strict(sqlite_portal: PortalWorld) -> None:
    browser = sqlite_portal.browser()
    for path in ("/login", "/healthz", "/static/portal.css", "/nowhere"):
        headers = (await browser.client.get(path)).headers
        policy = headers["content-security-policy"]
        assert "unsafe" not in policy
        assert "frame-ancestors 'none'" in policy
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["referrer-policy"] == "same-origin"
    assert (await browser.client.get("/login")).headers["cache-control"] == "no-store"


async def test_no_page_has_inline_script_or_style_or_another_host(sqlite_portal: PortalWorld) -> None:
    browser = await sqlite_portal.logged_in("administrator")
    for page in PAGES:
        if page.method == "GET" and page.access != "anyone":
            html = (await browser.client.get(_address(page))).text
            assert not re.search(r"<script(?![^>]* src=)|<style| style=| on[a-z]+=", html), page.path
            assert not re.search(r'(?:src|href|action)="(?:https?:)?//', html), page.path


async def test_machines_learn_whether_it_lives_and_whether_it_is_ready(sqlite_portal: PortalWorld) -> None:
    client = sqlite_portal.browser().client
    assert (await client.get("/healthz")).text == "ok"
    assert (await client.get("/readyz")).json() == {"ready": True, "database": True}
    sqlite_portal.ready["database"] = False
    response = await client.get("/readyz")
    assert (response.status_code, response.json()["ready"]) == (503, False)


async def test_an_unknown_address_and_an_impossible_id_are_not_found(sqlite_portal: PortalWorld) -> None:
    browser = await sqlite_portal.logged_in("administrator")
    for path in ("/nowhere", "/transactions/99999999999999999999", "/stations/7", "/journal/7777", "/card?tag=no"):
        assert (await browser.get(path)).status_code == 404, path
    assert (await browser.client.delete("/login")).status_code == 405


async def test_a_form_beyond_the_limit_is_refused(sqlite_portal: PortalWorld) -> None:
    browser = await sqlite_portal.logged_in("cashier")
    response = await browser.post("/card/sell", label="x" * (sqlite_portal.settings.max_form_bytes + 1))
    assert response.status_code == 413
    multipart = await browser.client.post("/card/sell", files={"a": b"b"})
    assert multipart.status_code == 415
