"""The menu: which pages stand in it, in which order, for whom. A role's first entry is its page after the login."""

import msgspec

from csms.web.permissions import Permission, Role, may


class MenuEntry(msgspec.Struct, frozen=True):
    """One line of the menu; `group` is the heading it stands under."""

    path: str
    text: str
    permission: Permission
    group: str


MENU = (
    MenuEntry("/dashboard", "Overview", "see stations", "Charging"),
    MenuEntry("/desk", "Cash desk", "use the cash desk", "Cards"),
    MenuEntry("/stations", "Stations", "see stations", "Charging"),
    MenuEntry("/transactions", "Transactions", "see transactions", "Charging"),
    MenuEntry("/review", "To review", "see review items", "Charging"),
    MenuEntry("/alarms", "Alarms", "see alarms", "Charging"),
    MenuEntry("/commands", "Commands", "see stations", "Stations"),
    MenuEntry("/settings", "Station settings", "see stations", "Stations"),
    MenuEntry("/charging-profiles", "Charging profiles", "see stations", "Stations"),
    MenuEntry("/reservations", "Reservations", "see stations", "Stations"),
    MenuEntry("/local-lists", "Local lists", "see stations", "Stations"),
    MenuEntry("/firmware", "Firmware", "see stations", "Stations"),
    MenuEntry("/files", "Station files", "see station files", "Stations"),
    MenuEntry("/data-transfers", "Data transfers", "see stations", "Stations"),
    MenuEntry("/messages", "Messages", "see messages", "Stations"),
    MenuEntry("/security-events", "Security events", "see stations", "Stations"),
    MenuEntry("/certificates", "Certificates", "see stations", "Stations"),
    MenuEntry("/cards", "All cards", "see cards", "Cards"),
    MenuEntry("/receipts", "Receipts", "print receipts", "Money"),
    MenuEntry("/journal", "Journal", "see the journal", "Money"),
    MenuEntry("/accounts", "Accounts", "see the journal", "Money"),
    MenuEntry("/audit", "Audit", "see the journal", "Money"),
    MenuEntry("/tariffs", "Tariffs", "see tariffs", "Money"),
    MenuEntry("/groups", "Groups", "manage groups", "Administration"),
    MenuEntry("/sites", "Sites and desks", "manage sites", "Administration"),
    MenuEntry("/staff", "Staff", "manage staff", "Administration"),
    MenuEntry("/api-keys", "API keys", "manage integrations", "Administration"),
    MenuEntry("/webhooks", "Webhooks", "manage integrations", "Administration"),
)
_GROUPS = ("Cards", "Charging", "Stations", "Money", "Administration")
_CHARGING_FIRST = ("Charging", "Stations", "Cards", "Money", "Administration")


def entries_for(role: Role) -> tuple[MenuEntry, ...]:
    """Return the entries that a role may open, in the order of the menu."""
    return tuple(one for one in MENU if may(role, one.permission))


def groups_for(role: Role) -> tuple[tuple[str, tuple[MenuEntry, ...]], ...]:
    """Return the same under their headings; whoever may see stations finds charging first."""
    order = _CHARGING_FIRST if may(role, "see stations") else _GROUPS
    entries = entries_for(role)
    groups = ((group, tuple(one for one in entries if one.group == group)) for group in order)
    return tuple((group, found) for group, found in groups if found)
