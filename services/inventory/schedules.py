"""When something is due again: recurrence rules (RFC 5545), read by a site's calendar."""

import re
from datetime import date, datetime, time, timedelta
from typing import cast
from zoneinfo import ZoneInfo

from dateutil import rrule

from chassis import errors

# Nobody plans further ahead.
AHEAD = timedelta(days=5 * 366)
_DAY = r"(?:[+-]?[1-5])?(?:MO|TU|WE|TH|FR|SA|SU)"
_MONTH_DAY = r"-?(?:[1-9]|[12][0-9]|3[01])"
_MONTH = r"(?:[1-9]|1[0-2])"
_PARTS = (
    *(r"INTERVAL=[1-9][0-9]{0,2}", r"WKST=(?:MO|TU|WE|TH|FR|SA|SU)", r"UNTIL=[0-9]{8}(?:T[0-9]{6}Z?)?"),
    *(
        rf"{name}={value}(?:,{value})*"
        for name, value in (("BYDAY", _DAY), ("BYMONTHDAY", _MONTH_DAY), ("BYMONTH", _MONTH))
    ),
)
_RULE = re.compile(rf"(?:RRULE:)?FREQ=(?:DAILY|WEEKLY|MONTHLY|YEARLY)(?:;(?:{'|'.join(_PARTS)}))*")
# What may never come true would be searched for to the end of time: the 30th of February, every seventh day if Tuesday.
_NEVER = re.compile(r"(?=.*BYMONTH=).*BYMONTHDAY=(?:[^;]*,)?-?(?:29|3[01])\b|FREQ=DAILY(?=.*INTERVAL=).*;BY")


def check(rule: str, field: str) -> None:
    """Raise `Invalid` about `field` for what is no rule of dates."""
    if not rule:
        return
    if not _RULE.fullmatch(rule) or _NEVER.search(rule):
        message = (
            "must be a recurrence rule by day, week, month or year, of INTERVAL, BYDAY, BYMONTHDAY, BYMONTH, UNTIL"
        )
        raise errors.Invalid(fields={field: [message]})
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
