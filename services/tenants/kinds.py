"""The kinds of settings: what each is for, the JSON Schema its documents keep, and what holds where there is none."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

Document = dict[str, Any]
# What is wrong with a document: messages by the path into it.
Wrong = dict[str, list[str]]

DRAFT = "https://json-schema.org/draft/2020-12/schema"


def _nothing_more(_document: Document) -> Wrong:
    return {}


def _ends_after_start(document: Document) -> Wrong:
    """What JSON Schema cannot say: two moments in their order."""
    starts_at, ends_at = document.get("starts_at"), document.get("ends_at")
    if starts_at is None or ends_at is None:
        return {}
    try:
        in_order = datetime.fromisoformat(starts_at) < datetime.fromisoformat(ends_at)
    except ValueError:
        # RFC 3339 has leap seconds, which no calendar of ours does.
        return {"ends_at": ["must be a time of the calendar, as starts_at"]}
    return {} if in_order else {"ends_at": ["must be after starts_at"]}


@dataclass(frozen=True)
class Kind:
    """One kind of settings. `check` says what the schema cannot."""

    key: str
    description: str
    properties: Document
    default: Document = field(default_factory=dict)
    per_station: bool = False
    more: Document = field(default_factory=dict)
    check: Callable[[Document], Wrong] = _nothing_more

    @property
    def schema(self) -> Document:
        """The JSON Schema."""
        closed = {"type": "object", "properties": self.properties, "additionalProperties": False}
        return {"$schema": DRAFT, "title": self.key, "description": self.description, **closed, **self.more}


def _text(length: int, *, least: int = 0) -> Document:
    return {"type": "string", "minLength": least, "maxLength": length}


def _whole(low: int, high: int) -> Document:
    return {"type": "integer", "minimum": low, "maximum": high}


def _list(items: Document, most: int) -> Document:
    return {"type": "array", "items": items, "maxItems": most, "uniqueItems": True}


def _object(properties: Document, *required: str) -> Document:
    closed = {"type": "object", "properties": properties, "additionalProperties": False}
    return {**closed, "required": list(required)} if required else closed


_FLAG: Document = {"type": "boolean"}
_ID: Document = {"type": "string", "format": "uuid"}
_COLOR: Document = {"type": "string", "pattern": "^#[0-9a-fA-F]{6}$"}
_MOMENT: Document = {"type": "string", "format": "date-time"}
_LINK: Document = {"type": "string", "pattern": "^https://[^\\s]+$", "maxLength": 2048}
_TIME: Document = {"type": "string", "pattern": "^(([01][0-9]|2[0-3]):[0-5][0-9]|24:00)$"}
# What closes before it opens closes on the next day.
_HOURS = _list(_object({"opens": _TIME, "closes": _TIME}, "opens", "closes"), 6)
_DAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
_WEEK = _object(dict.fromkeys(_DAYS, _HOURS))

EVENT = Kind(
    "event",
    "Event mode: a festival, a fair or a private booking with a menu, hours and a banner of its own.",
    {
        "enabled": _FLAG,
        "name": _text(200, least=1),
        "starts_at": _MOMENT,
        "ends_at": _MOMENT,
        # None: every site.
        "site_ids": _list(_ID, 500),
        # What is sold during the event; none: the whole menu.
        "menu_item_ids": _list(_ID, 500),
        "opening_hours": _HOURS,
        "banner": _object(
            {
                "text": _text(280, least=1),
                "background": _COLOR,
                "color": _COLOR,
                "image_url": _LINK,
                "link_url": _LINK,
            },
            "text",
        ),
        "pieces_per_order_max": _whole(1, 1000),
    },
    default={"enabled": False},
    more={
        "required": ["enabled"],
        "if": {"properties": {"enabled": {"const": True}}},
        "then": {"required": ["name", "starts_at", "ends_at"]},
    },
    check=_ends_after_start,
)
MILK_COLORS = Kind(
    "milk-colors",
    "The colour in which each milk is shown on screens and cups, by the milk's name.",
    {},
    more={
        "additionalProperties": _COLOR,
        "propertyNames": {"minLength": 1, "maxLength": 64},
        "maxProperties": 100,
    },
)
OPENING_HOURS = Kind(
    "opening-hours",
    "When sites are open: the usual week, other weeks of single sites, and exceptional days.",
    {
        "week": _WEEK,
        "sites": {"type": "object", "propertyNames": _ID, "additionalProperties": _WEEK, "maxProperties": 200},
        "exceptions": _list(
            _object(
                {
                    "date": {"type": "string", "format": "date"},
                    "site_ids": _list(_ID, 500),
                    # None: closed all day.
                    "hours": _HOURS,
                    "note": _text(200),
                },
                "date",
            ),
            366,
        ),
    },
)
QUEUE_DISPLAY = Kind(
    "queue-display",
    "The screen that shows customers how far their orders are.",
    {
        "layout": {"enum": ["columns", "list"]},
        "orders_max": _whole(1, 100),
        "show_names": _FLAG,
        "show_waiting_minutes": _FLAG,
        "ready_shown_seconds": _whole(5, 3600),
        "sound": _FLAG,
        "message": _text(280),
        "theme": _object({"background": _COLOR, "text": _COLOR, "accent": _COLOR}),
    },
    default={"layout": "columns"},
)
RECEIPT = Kind(
    "receipt",
    "What stands on printed and e-mailed receipts.",
    {
        "header": _text(500),
        "footer": _text(500),
        "logo_url": _LINK,
        "vat_number": _text(32),
        "show_vat": _FLAG,
        "paper_width_mm": {"enum": [58, 80]},
        "copies": _whole(0, 5),
        "email": _FLAG,
    },
    default={"paper_width_mm": 80},
)
STATION = Kind(
    "station",
    "How one station works: what it takes on, how it looks and what it prints.",
    {
        "display_name": _text(100),
        "accepts_orders": _FLAG,
        # None: whatever is ordered.
        "categories": _list(_text(100, least=1), 100),
        "orders_at_once_max": _whole(1, 100),
        "color": _COLOR,
        "sound": _FLAG,
        "screen_off_after_seconds": _whole(0, 86_400),
        "printer": _object({"name": _text(100, least=1), "labels": _FLAG, "receipts": _FLAG}, "name"),
    },
    default={"accepts_orders": True},
    per_station=True,
)

KINDS: Mapping[str, Kind] = {
    kind.key: kind for kind in (EVENT, MILK_COLORS, OPENING_HOURS, QUEUE_DISPLAY, RECEIPT, STATION)
}
