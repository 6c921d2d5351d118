"""Roles and what each may do: the one table. Routes name a permission, pages ask for one; nobody compares roles.

Knows no person and no page.
"""

from typing import Literal, get_args

Role = Literal["cashier", "supervisor", "operator", "accountant", "administrator"]
Permission = Literal[
    "use the cash desk",  # find a card, top it up
    "sell cards",
    "see a card",
    "block cards",  # and unblock, retire, let expire
    "replace cards",  # a lost one by a new one
    "import cards",  # into stock
    "see cards",
    "print receipts",
    "manage customers",
    "erase customers",
    "see stations",
    "command stations",  # remote start and stop
    "manage stations",  # adopt, add, new key
    "manage charging profiles",  # of the library
    "see transactions",
    "see the journal",
    "see tariffs",
    "manage tariffs",
    "manage groups",  # of stations and of accounts
    "manage staff",
    "manage sites",  # and desks
    "manage integrations",  # keys of the API, webhooks
    "see review items",
    "resolve review items",
    "see alarms",
    "acknowledge alarms",
    "see messages",  # of stations, as they were sent
    "see station files",  # diagnostics and logs
    "update firmware",  # of stations, one by one and in campaigns
    "manage firmware",  # the library, and deleting files of stations
]

ROLES: tuple[Role, ...] = get_args(Role)
PERMISSIONS: tuple[Permission, ...] = get_args(Permission)

GRANTS: dict[Role, frozenset[Permission]] = {
    "cashier": frozenset(
        {"use the cash desk", "sell cards", "see a card", "replace cards", "print receipts", "manage customers"}
    ),
    "supervisor": frozenset(
        {
            "use the cash desk",
            "sell cards",
            "see a card",
            "block cards",
            "replace cards",
            "print receipts",
            "manage customers",
            "see cards",
            "see transactions",
            "see tariffs",
        },
    ),
    "operator": frozenset(
        {
            "see stations",
            "see messages",
            "command stations",
            "see station files",
            "update firmware",
            "manage charging profiles",
            "see transactions",
            "see a card",
            "print receipts",
            "see cards",
            "see tariffs",
            "see review items",
            "see alarms",
            "acknowledge alarms",
        },
    ),
    "accountant": frozenset(
        {
            "see a card",
            "print receipts",
            "see cards",
            "see transactions",
            "see the journal",
            "see tariffs",
            "see review items",
            "resolve review items",
            "see alarms",
        },
    ),
    "administrator": frozenset(PERMISSIONS),
}


def may(role: Role, permission: Permission) -> bool:
    """Tell whether `role` has `permission`."""
    return permission in GRANTS[role]
