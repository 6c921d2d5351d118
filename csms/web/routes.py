"""Every address of the portal: method, path, page, and the permission it takes.

`/healthz`, `/readyz` and `/static` stand in `app`: they are for machines and need no login.
"""

from starlette.responses import Response

from csms.web import auth
from csms.web.accounting import cards, imports, journal
from csms.web.administration import group_settings, groups, local_lists, people, sites, tariff_editor, tariffs
from csms.web.administration import stations as station_administration
from csms.web.cashier import customers, desk, plastic, sell, top_up
from csms.web.guard import Page
from csms.web.menu import entries_for
from csms.web.operations import (
    alarms,
    dashboard,
    messages,
    profile_editor,
    profiles,
    reservations,
    review,
    settings,
    station_profiles,
    stations,
    transactions,
)
from csms.web.receipts import pages as receipts
from csms.web.visit import Visit


async def front(visit: Visit) -> Response:
    """Send a person to the first page of their menu."""
    return visit.go(entries_for(visit.staff.role)[0].path)


PAGES: tuple[Page, ...] = (
    Page("GET", "/", front, "any login"),
    Page("GET", "/login", auth.show_login, "anyone"),
    Page("POST", "/login", auth.log_in, "anyone"),
    Page("GET", "/login/link/{token}", auth.show_link, "anyone"),
    Page("POST", "/login/link/{token}", auth.use_link, "anyone"),
    Page("GET", "/account", auth.show_account, "any login"),
    Page("POST", "/account/password", auth.change_password, "any login"),
    Page("POST", "/logout", auth.log_out, "any login"),
    # cashier
    Page("GET", "/desk", desk.show_desk, "use the cash desk"),
    Page("GET", "/card", desk.show_card, "see a card"),
    Page("GET", "/card/top-up", top_up.confirm, "use the cash desk"),
    Page("POST", "/card/top-up", top_up.book, "use the cash desk"),
    Page("GET", "/card/sell", sell.show, "sell cards"),
    Page("POST", "/card/sell", sell.sell, "sell cards"),
    Page("GET", "/card/manage", plastic.show, "block cards"),
    Page("POST", "/card/state", plastic.change_state, "block cards"),
    Page("POST", "/card/expiry", plastic.set_expiry, "block cards"),
    Page("GET", "/card/replace", plastic.show_replace, "replace cards"),
    Page("POST", "/card/replace", plastic.replace, "replace cards"),
    Page("GET", "/card/add", plastic.show_add, "sell cards"),
    Page("POST", "/card/add", plastic.add, "sell cards"),
    Page("GET", "/card/customer", customers.show, "manage customers"),
    Page("POST", "/card/customer", customers.save, "manage customers"),
    Page("POST", "/card/customer/erase", customers.erase, "erase customers"),
    Page("GET", "/receipts/{entry_id:int}", receipts.show, "print receipts"),
    Page("POST", "/receipts/{entry_id:int}/print", receipts.print_one, "print receipts"),
    Page("GET", "/transactions/{transaction_id:int}/receipt", receipts.show_charge, "print receipts"),
    Page("POST", "/transactions/{transaction_id:int}/receipt/print", receipts.print_charge, "print receipts"),
    Page("GET", "/transactions/{transaction_id:int}/signed-data", receipts.download_signed, "print receipts"),
    # operations
    Page("GET", "/dashboard", dashboard.show, "see stations"),
    Page("GET", "/dashboard/live", dashboard.live, "see stations", live=True),
    Page("GET", "/stations", stations.show_list, "see stations"),
    Page("GET", "/stations/add", station_administration.show_add, "manage stations"),
    Page("POST", "/stations/add", station_administration.add, "manage stations"),
    Page("GET", "/stations/{charge_point_id:int}", stations.show_one, "see stations"),
    Page("GET", "/stations/{charge_point_id:int}/live", stations.live, "see stations", live=True),
    Page("POST", "/stations/{charge_point_id:int}/start", stations.start, "command stations"),
    Page("POST", "/stations/{charge_point_id:int}/stop", stations.stop, "command stations"),
    Page("POST", "/stations/{charge_point_id:int}/key", station_administration.new_key, "manage stations"),
    Page("POST", "/stations/{charge_point_id:int}/settings", station_administration.change_settings, "manage stations"),
    Page("GET", "/stations/{charge_point_id:int}/settings", settings.show_one, "see stations"),
    Page("POST", "/stations/{charge_point_id:int}/settings/check", settings.check, "command stations"),
    Page("GET", "/settings", settings.show_list, "see stations"),
    Page("GET", "/station-groups/{group_id:int}/settings", group_settings.show, "manage stations"),
    Page("POST", "/station-groups/{group_id:int}/settings", group_settings.change, "manage stations"),
    Page("GET", "/charging-profiles", profiles.show_list, "see stations"),
    Page("GET", "/charging-profiles/new", profile_editor.show, "manage charging profiles"),
    Page("POST", "/charging-profiles/new", profile_editor.edit, "manage charging profiles"),
    Page("GET", "/charging-profiles/{library_id:int}", profiles.show_one, "see stations"),
    Page("POST", "/charging-profiles/{library_id:int}/send", profiles.send, "command stations"),
    Page("POST", "/charging-profiles/{library_id:int}/remove", profiles.remove, "manage charging profiles"),
    Page("GET", "/stations/{charge_point_id:int}/profiles", station_profiles.show, "see stations"),
    Page("POST", "/stations/{charge_point_id:int}/profiles/send", station_profiles.send, "command stations"),
    Page("POST", "/stations/{charge_point_id:int}/profiles/clear", station_profiles.clear, "command stations"),
    Page("POST", "/stations/{charge_point_id:int}/profiles/composite", station_profiles.ask, "command stations"),
    Page("GET", "/reservations", reservations.show, "see stations"),
    Page("POST", "/reservations/{command_id:int}/cancel", reservations.cancel, "command stations"),
    Page("GET", "/stations/{charge_point_id:int}/reservations", reservations.show_station, "see stations"),
    Page("POST", "/stations/{charge_point_id:int}/reservations", reservations.reserve, "command stations"),
    Page("GET", "/local-lists", local_lists.show, "see stations"),
    Page("POST", "/local-lists", local_lists.add, "manage stations"),
    Page("GET", "/local-lists/{list_id:int}", local_lists.show_one, "see stations"),
    Page("POST", "/local-lists/{list_id:int}", local_lists.change, "manage stations"),
    Page("POST", "/local-lists/{list_id:int}/remove", local_lists.remove, "manage stations"),
    Page("POST", "/local-lists/{list_id:int}/cards", local_lists.put_card, "manage stations"),
    Page("POST", "/local-lists/{list_id:int}/targets", local_lists.put_target, "manage stations"),
    Page("GET", "/stations/{charge_point_id:int}/local-list", local_lists.show_station, "see stations"),
    Page("POST", "/stations/{charge_point_id:int}/local-list/send", local_lists.send, "command stations"),
    Page("POST", "/stations/{charge_point_id:int}/local-list/version", local_lists.ask_version, "command stations"),
    Page("GET", "/transactions", transactions.show_list, "see transactions"),
    Page("GET", "/transactions/{transaction_id:int}", transactions.show_one, "see transactions"),
    Page("GET", "/transactions/{transaction_id:int}/live", transactions.live, "see transactions", live=True),
    Page("GET", "/messages", messages.show, "see messages"),
    Page("GET", "/messages/live", messages.live, "see messages", live=True),
    Page("GET", "/messages/export", messages.export, "see messages"),
    Page("GET", "/review", review.show, "see review items"),
    Page("GET", "/review/{key}", review.show_one, "see review items"),
    Page("POST", "/review/{key}", review.resolve, "resolve review items"),
    Page("GET", "/alarms", alarms.show, "see alarms"),
    Page("POST", "/alarms", alarms.acknowledge, "acknowledge alarms"),
    # accounting
    Page("GET", "/cards", cards.show, "see cards"),
    Page("GET", "/cards/import", imports.show, "import cards"),
    Page("POST", "/cards/import", imports.take, "import cards", upload=True),
    Page("GET", "/journal", journal.show_list, "see the journal"),
    Page("GET", "/journal/{entry_id:int}", journal.show_entry, "see the journal"),
    Page("GET", "/accounts", journal.show_accounts, "see the journal"),
    # administration
    Page("GET", "/tariffs", tariffs.show, "see tariffs"),
    Page("GET", "/tariffs/new", tariff_editor.show, "manage tariffs"),
    Page("POST", "/tariffs/new", tariff_editor.edit, "manage tariffs"),
    Page("GET", "/tariffs/{tariff_id:int}", tariffs.show_one, "see tariffs"),
    Page("POST", "/tariffs/{tariff_id:int}/default", tariffs.choose_default, "manage tariffs"),
    Page("POST", "/tariffs/assignments", tariffs.assign, "manage tariffs"),
    Page("POST", "/tariffs/assignments/{assignment_id:int}/remove", tariffs.unassign, "manage tariffs"),
    Page("GET", "/groups", groups.show, "manage groups"),
    Page("POST", "/groups/stations", groups.add_stations, "manage groups"),
    Page("GET", "/groups/stations/{group_id:int}", groups.show_stations, "manage groups"),
    Page("POST", "/groups/stations/{group_id:int}", groups.change_stations, "manage groups"),
    Page("POST", "/groups/stations/{group_id:int}/members", groups.put_station, "manage groups"),
    Page("POST", "/groups/accounts", groups.add_accounts, "manage groups"),
    Page("GET", "/groups/accounts/{group_id:int}", groups.show_accounts, "manage groups"),
    Page("POST", "/groups/accounts/{group_id:int}", groups.change_accounts, "manage groups"),
    Page("POST", "/groups/accounts/{group_id:int}/members", groups.put_card, "manage groups"),
    Page("POST", "/card/group", groups.put_card_from_its_page, "manage groups"),
    Page("GET", "/sites", sites.show, "manage sites"),
    Page("POST", "/sites", sites.add_site, "manage sites"),
    Page("POST", "/desks", sites.add_desk, "manage sites"),
    Page("POST", "/desks/{desk_id:int}/reader", sites.set_reader, "manage sites"),
    Page("GET", "/staff", people.show, "manage staff"),
    Page("POST", "/staff", people.add, "manage staff"),
    Page("POST", "/staff/{staff_id:int}/link", people.new_link, "manage staff"),
    Page("POST", "/staff/{staff_id:int}/active", people.switch, "manage staff"),
)
