"""The demo companies, entered through the gateway as their people would do it; again is harmless.

What is there already is found by its name and left as it is.
"""

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Any, TypedDict

from cli import demo_history
from cli.api import Api
from cli.demo_menu import ITEMS, MENU, DemoItem, modifier_groups
from cli.run_dir import RunDir

CURRENCY = "USD"
ROLES = ("admin", "manager", "staff", "auditor")
KIOSK_TOKEN_NAME = "Demo kiosk"  # noqa: S105 - its name in lists, not the token
# Of each item a site has a delivery that keeps as long as such a thing does, and enough in store for a few thousand
# cups, so that a demo or a load test does not sell out at once. By lot: pieces, and how long it keeps if not as usual.
LOTS: dict[str, tuple[int, int | None]] = {"DEMO-1": (5000, 365), "DEMO-2": (60, None)}
# What one call takes.
PAST_ORDERS_MAX = 500


class Named(TypedDict):
    """A tenant."""

    id: str
    name: str


class DemoSite(TypedDict):
    """A site."""

    id: str
    tenant_id: str
    name: str


class DemoUser(TypedDict):
    """A login."""

    email: str
    password: str
    role: str
    tenant_id: str


class DemoToken(TypedDict):
    """What a kiosk holds."""

    token: str
    site_id: str
    catalog_id: str


class Demo(TypedDict):
    """What `switchyard demo --json` prints; its shape is relied on by scripts and tests."""

    url: str
    tenants: list[Named]
    sites: list[DemoSite]
    users: list[DemoUser]
    catalog_tokens: list[DemoToken]


# Two companies, so that isolation can be seen; the first has two sites.
COMPANIES: dict[str, dict[str, Any]] = {
    "northern-coffee": {
        "name": "Northern Coffee",
        "domain": "north.example",
        "config": {
            "branding": {"name": "Northern", "primary_color": "#1f6f54"},
            "features": {"kiosk_upsell": True, "group_orders": True},
            "locale": "sv-SE",
            "time_zone": "Europe/Stockholm",
        },
        "sites": {"Harbour Street": "Europe/Stockholm", "Old Station": "Europe/Stockholm"},
    },
    "southern-tea": {
        "name": "Southern Tea",
        "domain": "south.example",
        "config": {
            "branding": {"name": "Southern", "primary_color": "#8a3b12"},
            "features": {"kiosk_upsell": False},
            "locale": "en-US",
            "time_zone": "America/New_York",
        },
        "sites": {"Market Square": "America/New_York"},
    },
}
STATIONS = {"Bar 1": "bar", "Till": "till", "Kiosk": "kiosk"}
SETTINGS: dict[str, dict[str, Any]] = {
    "milk-colors": {"Whole milk": "#ffffff", "Oat drink": "#d8c3a5", "Soy drink": "#f1e3b8"},
    "receipt": {"footer": "Thank you!", "paper_width_mm": 80, "show_vat": True},
    "queue-display": {"layout": "columns", "orders_max": 20, "show_names": True},
}


def seed(url: str, operator_email: str, operator_password: str, run_dir: RunDir) -> Demo:
    """Enter the demo companies and return the logins. Raises cli.api.ApiError when the API refuses something."""
    operator = Api(url).login(operator_email, operator_password)
    demo: Demo = {"url": url, "tenants": [], "sites": [], "users": [], "catalog_tokens": []}
    tenants = _by(operator.list_all("/api/v1/tenants"), "slug")
    for slug, company in COMPANIES.items():
        tenant = tenants.get(slug) or operator.call(
            "POST", "/api/v1/tenants", {"name": company["name"], "slug": slug, "currency": CURRENCY}
        )
        demo["tenants"].append({"id": tenant["id"], "name": tenant["name"]})
        users = _users(operator.in_tenant(tenant["id"]), tenant["id"], company["domain"], run_dir)
        admin = Api(url).login(users[0]["email"], users[0]["password"]).in_tenant(tenant["id"])
        _set_up(admin, company["config"])
        sites = _sites(admin, company["sites"])
        menu = _menu(admin, _items(admin, sites))
        for site in sites:
            _past(admin, site, menu)
        demo["users"] += users
        demo["sites"] += [{"id": site["id"], "tenant_id": tenant["id"], "name": site["name"]} for site in sites]
        if not demo["catalog_tokens"]:
            demo["catalog_tokens"].append(_kiosk(admin, sites[0]["id"], run_dir))
    return demo


def _by(found: Iterable[dict[str, Any]], field: str) -> dict[str, dict[str, Any]]:
    return {each[field]: each for each in found}


def _users(operator: Api, tenant_id: str, domain: str, run_dir: RunDir) -> list[DemoUser]:
    """One user of each role, the administrator first."""
    known = _by(operator.list_all("/api/v1/users"), "email")
    users: list[DemoUser] = []
    for role in ROLES:
        email = f"{role}@{domain}"
        password = run_dir.secret(f"demo.{email}", kind="password")
        if email not in known:
            body = {"email": email, "name": f"Demo {role}", "role": role, "password": password}
            operator.call("POST", "/api/v1/users", body)
        users.append({"email": email, "password": password, "role": role, "tenant_id": tenant_id})
    return users


def _set_up(admin: Api, config: dict[str, Any]) -> None:
    """Configuration and settings, where nobody has changed them: what is set up once is its people's."""
    if admin.call("GET", "/api/v1/tenant/config")["version"] == 1:
        admin.call("PATCH", "/api/v1/tenant/config", config)
    for key, value in SETTINGS.items():
        if admin.call("GET", f"/api/v1/settings/{key}")["version"] == 0:
            admin.call("PUT", f"/api/v1/settings/{key}", value)


def _sites(admin: Api, wanted: dict[str, str]) -> list[dict[str, Any]]:
    known = _by(admin.list_all("/api/v1/sites"), "name")
    sites = []
    for name, time_zone in wanted.items():
        site = known.get(name) or admin.call("POST", "/api/v1/sites", {"name": name, "time_zone": time_zone})
        stations = _by(admin.list_all(f"/api/v1/sites/{site['id']}/stations"), "name")
        for station, kind in STATIONS.items():
            if station not in stations:
                admin.call("POST", f"/api/v1/sites/{site['id']}/stations", {"name": station, "kind": kind})
        sites.append(site)
    return sites


def _items(admin: Api, sites: list[dict[str, Any]]) -> dict[str, str]:
    """Enter the items and the lots of each at every site; return the ids by SKU."""
    known = _by(admin.list_all("/api/v1/inventory/items"), "sku")
    ids = {}
    for sku, told in ITEMS.items():
        body = {"sku": sku, "name": told.name, "category": told.category, "supplier": told.supplier, "unit": told.unit}
        threshold = {"low_stock_threshold": 20 * told.portion}
        item = known.get(sku) or admin.call("POST", "/api/v1/inventory/items", body | threshold)
        _stock(admin, item["id"], told, sites)
        ids[sku] = item["id"]
    return ids


def _stock(admin: Api, item_id: str, told: DemoItem, sites: list[dict[str, Any]]) -> None:
    path = f"/api/v1/inventory/items/{item_id}/batches"
    stocked = {(batch["site_id"], batch["lot"]) for batch in admin.list_all(path)}
    for site in sites:
        for lot, (pieces, days) in LOTS.items():
            if (site["id"], lot) not in stocked:
                expires_at = datetime.now(UTC) + timedelta(days=days or told.keeps_days)
                body = {"site_id": site["id"], "lot": lot, "quantity": pieces * told.portion}
                admin.call("POST", path, body | {"expires_at": expires_at.strftime("%Y-%m-%dT%H:%M:%S.000Z")})


def _menu(admin: Api, items: dict[str, str]) -> dict[str, str]:
    """Put everything on the menu; return the ids by name."""
    known = _by(admin.list_all("/api/v1/menu-items"), "name")
    for position, (name, sold) in enumerate(MENU.items()):
        if name not in known:
            body = {
                "name": name,
                "category": sold.category,
                "description": sold.description,
                "price": {"amount": sold.price, "currency": CURRENCY},
                "recipe": [{"item_id": items[sku], "quantity": quantity} for sku, quantity in sold.recipe.items()],
                "modifier_groups": modifier_groups(sold, items, CURRENCY),
                "position": position,
                "tags": sold.tags,
                "allergens": sold.allergens,
            }
            known[name] = admin.call("POST", "/api/v1/menu-items", body)
    return {name: known[name]["id"] for name in MENU}


def _past(admin: Api, site: dict[str, Any], menu: dict[str, str]) -> None:
    """Three months of orders, for a site that has none of before today."""
    today = datetime.now(UTC).date()
    if admin.call("GET", f"/api/v1/orders?page_size=1&site_id={site['id']}&date_to={today}T00:00:00Z"):
        return
    orders = list(demo_history.orders(site["id"], site["time_zone"], CURRENCY, menu, today))
    for start in range(0, len(orders), PAST_ORDERS_MAX):
        body = {"site_id": site["id"], "orders": orders[start : start + PAST_ORDERS_MAX]}
        admin.call("POST", "/api/v1/orders/import", body)


def _kiosk(admin: Api, site_id: str, run_dir: RunDir) -> DemoToken:
    """A catalog token: only its creation answers it, so it is kept among the secrets."""
    known = _by(admin.list_all(f"/api/v1/tokens?kind=catalog&site_id={site_id}"), "id")
    token_id, token = run_dir.known_secret("demo.kiosk_token_id"), run_dir.known_secret("demo.kiosk_token")
    if token_id not in known or token is None:
        made = admin.call("POST", "/api/v1/tokens", {"name": KIOSK_TOKEN_NAME, "kind": "catalog", "site_id": site_id})
        token_id, token = made["id"], made["token"]
        run_dir.keep_secret("demo.kiosk_token_id", made["id"])
        run_dir.keep_secret("demo.kiosk_token", made["token"])
        known[made["id"]] = made
    return {"token": str(token), "site_id": site_id, "catalog_id": known[str(token_id)]["catalog_id"]}
