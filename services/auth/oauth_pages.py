"""The pages that a person sees: sign-in, one-time code, consent, and what went wrong. No script runs on any."""

import base64
import hashlib
from dataclasses import dataclass, field
from typing import Any

import jinja2

from services.auth.oauth_http import Answer

SIGN_IN = "sign_in.html"
CODE = "code.html"
CONSENT = "consent.html"
ERROR = "error.html"

_templates = jinja2.Environment(
    loader=jinja2.PackageLoader("services.auth", "pages"),
    autoescape=True,
    undefined=jinja2.StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
_STYLE = jinja2.PackageLoader("services.auth", "pages").get_source(_templates, "style.css")[0]
_STYLE_HASH = base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()
_POLICY = (
    f"default-src 'none'; style-src 'sha256-{_STYLE_HASH}'; base-uri 'none'; frame-ancestors 'none'; form-action 'self'"
)


@dataclass(frozen=True)
class Page:
    """A page to be drawn. `goes_to` is where its form may lead: a browser holds redirects against the policy, too."""

    name: str
    status: int
    told: dict[str, Any] = field(default_factory=dict)
    goes_to: str = ""


def drawn(page: Page) -> Answer:
    """The page as it is sent."""
    html = _templates.get_template(page.name).render(page.told, style=_STYLE)
    headers = [
        ("content-type", "text/html; charset=utf-8"),
        ("content-security-policy", f"{_POLICY} {page.goes_to}".rstrip()),
        ("x-frame-options", "DENY"),
        ("referrer-policy", "no-referrer"),
        ("x-content-type-options", "nosniff"),
    ]
    return Answer(page.status, html.encode(), headers)
