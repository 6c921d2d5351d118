"""Keys of the API, webhooks and the API's description in the portal."""

import re

from csms import clock
from csms.web.api.problems import PROBLEMS
from csms.web.api.routes import ENDPOINTS
from csms.web.api.scopes import SCOPES
from csms.webhooks import store
from tests.web.portal import PortalWorld

_KEY = re.compile(r'<code id="key"[^>]*>(csms_[\w-]{43})</code>')
_SECRET = re.compile(r'<code id="secret"[^>]*>(whsec_[\w+/=]{32})</code>')


async def test_a_key_is_made_shown_once_and_works(sqlite_portal: PortalWorld) -> None:
    browser = await sqlite_portal.logged_in("administrator")
    assert "There is no key yet" in (await browser.get("/api-keys")).text
    await browser.post("/api-keys", name="Shop", days="30", **{"cards:read": "yes"})
    found = _KEY.search(browser.text)
    assert found is not None
    secret = found[1]
    sqlite_portal.now = clock.now()
    listed = (await browser.get("/api-keys")).text
    assert secret not in listed
    assert secret[:11] in listed
    client = sqlite_portal.browser().client
    headers = {"Authorization": f"Bearer {secret}"}
    assert (await client.get("/api/v1/cards", headers=headers)).status_code == 200
    assert (await client.get("/api/v1/sites", headers=headers)).status_code == 403
    assert "0 s ago" in (await browser.get("/api-keys")).text


async def test_a_revoked_key_opens_nothing(sqlite_portal: PortalWorld) -> None:
    browser = await sqlite_portal.logged_in("administrator")
    await browser.get("/api-keys")
    await browser.post("/api-keys", name="Shop", days="", **{"cards:read": "yes"})
    found = _KEY.search(browser.text)
    assert found is not None
    await browser.get("/api-keys")
    await browser.post("/api-keys/1/revoke")
    assert "Revoked. Nothing is answered" in browser.text
    client = sqlite_portal.browser().client
    headers = {"Authorization": f"Bearer {found[1]}"}
    assert (await client.get("/api/v1/cards", headers=headers)).status_code == 401
    assert (await browser.post("/api-keys/1/revoke")).status_code == 404


async def test_a_key_needs_a_name_and_something_that_it_may_do(sqlite_portal: PortalWorld) -> None:
    browser = await sqlite_portal.logged_in("administrator")
    await browser.get("/api-keys")
    response = await browser.post("/api-keys", name="", days="")
    assert response.status_code == 422
    assert "Please fill this in" in browser.text
    assert "Choose at least one thing" in browser.text
    response = await browser.post("/api-keys", name="Shop", days="", everything="yes")
    assert response.status_code == 422


async def test_a_webhook_is_made_tried_paused_and_deleted(sqlite_portal: PortalWorld) -> None:
    browser = await sqlite_portal.logged_in("administrator")
    assert "There is no webhook yet" in (await browser.get("/webhooks")).text
    await browser.post("/webhooks", name="Books", url="https://example.com/hook", **{"transaction.ended": "yes"})
    found = _SECRET.search(browser.text)
    assert found is not None
    await browser.get("/webhooks/1")
    assert found[1] not in browser.text
    await browser.post("/webhooks/1/test")
    assert "A test is on its way" in browser.text
    assert "Waiting" in browser.text
    assert "staff administrator" in browser.text
    await browser.post("/webhooks/1/deliveries/1/again")
    assert "It is sent again" in browser.text
    await browser.post("/webhooks/1/state", state="paused")
    assert "Paused. What happens meanwhile" in browser.text
    await browser.post("/webhooks/1/test")
    assert "Nothing is sent to a webhook that is not active" in browser.text
    await browser.post("/webhooks/1/state", state="active")
    await browser.post("/webhooks/1/delete")
    assert "Deleted" in browser.text
    assert (await browser.get("/webhooks/1")).status_code == 404


async def test_a_secret_is_stored_sealed(sqlite_portal: PortalWorld) -> None:
    browser = await sqlite_portal.logged_in("administrator")
    await browser.get("/webhooks")
    await browser.post("/webhooks", name="Books", url="https://example.com/hook", **{"transaction.ended": "yes"})
    with sqlite_portal.database.reading() as connection:
        [one] = store.list_webhooks(connection)
    assert one.secret.startswith("sealed:")


async def test_a_webhook_into_our_own_network_is_refused(sqlite_portal: PortalWorld) -> None:
    browser = await sqlite_portal.logged_in("administrator")
    await browser.get("/webhooks")
    url = "http://169.254.169.254/latest/meta-data"
    response = await browser.post("/webhooks", name="Books", url=url, **{"transaction.ended": "yes"})
    assert response.status_code == 422
    assert "CSMS_WEBHOOK_HOSTS" in browser.text
    response = await browser.post("/webhooks", name="Books", url="https://example.com/")
    assert "Choose at least one event" in browser.text


async def test_another_webhooks_delivery_cannot_be_sent_again_through_this_one(sqlite_portal: PortalWorld) -> None:
    browser = await sqlite_portal.logged_in("administrator")
    for name in ("First", "Second"):
        await browser.get("/webhooks")
        await browser.post("/webhooks", name=name, url="https://example.com/", **{"alarm.raised": "yes"})
    await browser.get("/webhooks/1")
    await browser.post("/webhooks/1/test")
    assert (await browser.post("/webhooks/2/deliveries/1/again")).status_code == 404


async def test_the_description_shows_every_endpoint_scope_and_problem_to_anyone(sqlite_portal: PortalWorld) -> None:
    response = await sqlite_portal.browser().get("/api-docs")
    assert response.status_code == 200
    for endpoint in ENDPOINTS:
        path = re.sub(r"{(\w+)(:\w+)?}", r"{\1}", endpoint.path)
        assert f"/api/v1{path}</code>" in response.text
    for scope in SCOPES:
        assert f"<code>{scope}</code>" in response.text
    for kind in PROBLEMS:
        assert f'id="problem-{kind}"' in response.text
    targets = set(re.findall(r'id="([^"]+)"', response.text))
    assert set(re.findall(r'href="#([^"]+)"', response.text)) <= targets
