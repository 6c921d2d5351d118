"""Logging in: links that work once, passwords, limits on guessing, and how logins end."""

from datetime import timedelta

from sqlalchemy import select

from csms import clock
from csms.config import Settings
from csms.web import staff
from csms.web.auth import safe_next
from csms.web.models import login, login_link
from csms.web.models import staff as staff_table
from tests.web.portal import PASSWORD, PortalWorld, open_portal

NEW = "quite another sentence"


async def test_a_one_time_link_sets_the_password_and_works_once(portal: PortalWorld) -> None:
    path = portal.link_for("cashier", "t" * 43)
    browser = portal.browser()
    for _ in range(2):  # looking does not use it up
        assert "Welcome, Cashier" in (await browser.get(path)).text
    response = await browser.post(path, password=NEW, again=NEW)
    assert response.url.path == "/desk"
    other = portal.browser()
    assert (await other.get(path)).status_code == 410
    await other.get("/login")
    assert (await other.post(path, password=NEW, again=NEW)).status_code == 410
    assert (await other.log_in("cashier", NEW)).url.path == "/desk"
    assert (await portal.browser().log_in("cashier", PASSWORD)).status_code == 401


async def test_a_link_expires_and_a_newer_one_replaces_it(portal: PortalWorld) -> None:
    old, new = portal.link_for("cashier", "o" * 43), portal.link_for("cashier", "n" * 43)
    browser = portal.browser()
    assert (await browser.get(old)).status_code == 410
    assert (await browser.get(new)).status_code == 200
    portal.now = clock.now() + timedelta(hours=2)
    assert (await browser.get(new)).status_code == 410
    assert (await browser.post(new, password=NEW, again=NEW)).status_code == 410


async def test_a_weak_password_is_marked_and_the_link_stays_good(portal: PortalWorld) -> None:
    path = portal.link_for("cashier", "t" * 43)
    browser = portal.browser()
    await browser.get(path)
    for password, again, why in (
        ("short", "short", "At least 12 characters"),
        ("aaaaaaaaaaaaaaaa", "aaaaaaaaaaaaaaaa", "Too easy to guess"),
        ("I am the cashier here", "I am the cashier here", "Too easy to guess"),
        (NEW, "something different", "not the same"),
        ("x" * 201, "x" * 201, "At most 200"),
    ):
        response = await browser.post(path, password=password, again=again)
        assert (response.status_code, why in browser.text) == (422, True), why
        assert password not in response.text or len(password) < 6
    assert (await browser.post(path, password=NEW, again=NEW)).url.path == "/desk"


async def test_only_hashes_of_secrets_reach_the_database(portal: PortalWorld) -> None:
    path = portal.link_for("cashier", "secret-token-of-the-link-0123456789")
    browser = portal.browser()
    await browser.get(path)
    await browser.post(path, password=NEW, again=NEW)
    cookie = browser.client.cookies["csms_login"]
    with portal.database.reading() as connection:
        stored = repr([connection.execute(select(table)).all() for table in (login, login_link, staff_table)])
    assert "secret-token" not in stored
    assert cookie not in stored
    assert NEW not in stored
    assert "$argon2id$" in stored


async def test_wrong_name_and_wrong_password_look_the_same(portal: PortalWorld) -> None:
    answers = set()
    for username, password in (("cashier", "wrong wrong wrong"), ("nobody", PASSWORD), ("cashier", "x" * 1000)):
        browser = portal.browser()
        response = await browser.log_in(username, password)
        answers.add((response.status_code, "Username or password is wrong" in browser.text))
        assert f'value="{username}"' in response.text
        assert password not in response.text
    assert answers == {(401, True)}


async def test_guessing_is_slowed_down_by_name_and_by_address(portal: PortalWorld) -> None:
    limit = portal.settings.max_failed_logins_per_min
    portal.now = clock.now()
    for number in range(limit):
        assert (await portal.browser(f"192.0.2.{number + 10}").log_in("cashier", "wrong")).status_code == 401
    elsewhere = portal.browser("198.51.100.1")
    response = await elsewhere.log_in("cashier", PASSWORD)
    assert (response.status_code, response.headers["Retry-After"]) == (429, "60")
    for number in range(limit):
        assert (await portal.browser("203.0.113.9").log_in(f"name{number}", "wrong")).status_code == 401
    assert (await portal.browser("203.0.113.9").log_in("supervisor", PASSWORD)).status_code == 429
    portal.now += timedelta(seconds=61)
    assert (await elsewhere.log_in("cashier", PASSWORD)).status_code == 200


async def test_a_right_password_is_not_counted_as_a_failure(portal: PortalWorld) -> None:
    for _ in range(portal.settings.max_failed_logins_per_min + 2):
        assert (await portal.browser().log_in("cashier")).status_code == 200


async def test_a_login_ends_by_idleness_and_by_its_lifetime(portal: PortalWorld) -> None:
    begin = portal.now = clock.now()
    browser = await portal.logged_in("cashier")
    idle = timedelta(seconds=portal.settings.login_idle_s)
    portal.now = begin + idle - timedelta(seconds=5)
    assert (await browser.get("/desk")).url.path == "/desk"
    portal.now += idle - timedelta(seconds=5)  # used in between, so it still holds
    assert (await browser.get("/desk")).url.path == "/desk"
    portal.now += idle + timedelta(seconds=5)
    assert (await browser.get("/desk")).url.path == "/login"
    portal.now = begin
    browser = await portal.logged_in("cashier")
    while portal.now < begin + timedelta(seconds=portal.settings.login_lifetime_s):
        assert (await browser.get("/desk")).url.path == "/desk"
        portal.now += idle - timedelta(seconds=5)
    assert (await browser.get("/desk")).url.path == "/login"


async def test_a_live_part_keeps_no_login_awake(portal: PortalWorld) -> None:
    portal.now = clock.now()
    browser = await portal.logged_in("operator")
    idle = timedelta(seconds=portal.settings.login_idle_s)
    portal.now += idle - timedelta(seconds=5)
    assert (await browser.client.get("/dashboard/live")).status_code == 200
    portal.now += timedelta(seconds=10)
    assert (await browser.client.get("/dashboard/live")).status_code == 401


async def test_logging_out_ends_the_login_on_the_server(portal: PortalWorld) -> None:
    browser = await portal.logged_in("cashier")
    cookie = browser.client.cookies["csms_login"]
    assert (await browser.post("/logout")).url.path == "/login"
    assert "csms_login" not in browser.client.cookies
    thief = portal.browser()
    thief.client.cookies.set("csms_login", cookie)
    assert (await thief.get("/desk")).url.path == "/login"


async def test_switching_a_person_off_ends_their_login_at_once(portal: PortalWorld) -> None:
    browser = await portal.logged_in("cashier")
    with portal.database.unit_of_work() as connection:
        assert staff.set_active(connection, "cashier", False)
    assert (await browser.get("/desk")).url.path == "/login"
    assert (await portal.browser().log_in("cashier")).status_code == 401
    with portal.database.unit_of_work() as connection:
        assert staff.set_active(connection, "cashier", True)
        assert not staff.set_active(connection, "nobody", True)
    assert (await browser.get("/desk")).url.path == "/login"  # the old login does not come back


async def test_a_new_password_ends_every_other_login(portal: PortalWorld) -> None:
    here, there = await portal.logged_in("cashier"), await portal.logged_in("cashier")
    response = await here.post("/account/password", present="wrong", password=NEW, again=NEW)
    assert (response.status_code, "not your present password" in here.text) == (422, True)
    response = await here.post("/account/password", present=PASSWORD, password=NEW, again=NEW)
    assert "Your password is changed" in response.text
    assert (await there.get("/desk")).url.path == "/login"


async def test_cookies_are_out_of_reach_of_scripts(sqlite_portal: PortalWorld) -> None:
    browser = sqlite_portal.browser()
    await browser.get("/login")
    fields = {"csrf": browser.csrf, "username": "cashier", "password": PASSWORD}
    cookie = (await browser.client.post("/login", data=fields)).headers["set-cookie"]
    assert cookie.startswith("csms_login=")
    assert "HttpOnly" in cookie
    assert "SameSite=lax" in cookie


async def test_behind_https_cookies_and_browsers_insist_on_it(settings: Settings) -> None:
    async with open_portal(settings.model_copy(update={"secure_cookies": True})) as secure:
        headers = (await secure.browser().client.get("/login")).headers
        assert headers["set-cookie"].startswith("__Host-csms_form=")
        assert "Secure" in headers["set-cookie"]
        assert "strict-transport-security" in headers


def test_a_login_leads_to_no_other_host() -> None:
    assert safe_next("/cards?search=a") == "/cards?search=a"
    for path in ("//evil.test", "/\\evil.test", "https://evil.test", "", "x"):
        assert safe_next(path) == ""


async def test_after_the_login_the_page_asked_for_is_shown(sqlite_portal: PortalWorld) -> None:
    browser = sqlite_portal.browser()
    response = await browser.get("/card?tag=04A1B2C3D4")
    assert response.url.path == "/login"
    response = await browser.post("/login", username="cashier", password=PASSWORD, next="/card?tag=04A1B2C3D4")
    assert response.url.path == "/card"


def test_the_address_of_a_link_comes_from_the_settings(settings: Settings) -> None:
    assert staff.login_link_url(settings, "t").startswith("http://127.0.0.1:0/login/link/t")
    changed = settings.model_copy(update={"portal_url": "https://charge.example/"})
    assert staff.login_link_url(changed, "t") == "https://charge.example/login/link/t"
