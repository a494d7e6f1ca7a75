"""When something is due again: recurrence rules (RFC 5545), read by a site's calendar."""

import re
from datetime import date, datetime, time, timedelta
from typing import cast
from zoneinfo import ZoneInfo

from dateutil import rrule

from chassis import errors

# Nobody plans further ahead, and a rule that never comes true is not searched for to the end of time.
AHEAD = timedelta(days=5 * 366)
_RULE = re.compile(r"(?:RRULE:)?FREQ=(?:DAILY|WEEKLY|MONTHLY|YEARLY)(?:;[A-Z]+=[A-Z0-9,+-]+)*")
# Of a series without a beginning there is no fifth; hours are no matter of a date.
_REFUSED = re.compile(r";(?:COUNT|BYHOUR|BYMINUTE|BYSECOND|DTSTART)=")


def check(rule: str, field: str) -> None:
    """Raise `Invalid` about `field` for what is no rule of dates."""
    if not rule:
        return
    if not _RULE.fullmatch(rule) or _REFUSED.search(rule):
        raise errors.Invalid(fields={field: ["must be a recurrence rule by day, week, month or year, without COUNT"]})
    try:
        next_on(rule, since=date(2000, 1, 1), today=date(2000, 1, 1))
    except (ValueError, TypeError, IndexError) as failure:
        raise errors.Invalid(fields={field: [f"is not a recurrence rule: {failure}"]}) from None


def next_on(rule: str, *, since: date, today: date) -> date | None:
    """The first date of a rule that begins at `since`, today or later; none when it has ended."""
    start, now = datetime.combine(since, time()), datetime.combine(today, time())
    # A rule that was checked is one rule and no set.
    series = cast("rrule.rrule", rrule.rrulestr(rule, dtstart=start, ignoretz=True))
    until: datetime | None = series._until  # type: ignore[attr-defined] # noqa: SLF001 - it has no public name
    bounded = series.replace(until=min(until, now + AHEAD) if until else now + AHEAD)
    found: datetime | None = bounded.after(now, inc=True)
    return found.date() if found else None


def local_date(moment: datetime, time_zone: str) -> date:
    """The date of a moment by a site's calendar."""
    return moment.astimezone(ZoneInfo(time_zone)).date()
