"""Sessions in plain Python, short enough to be checked by eye: what Spark's must equal."""

from collections import defaultdict
from decimal import ROUND_HALF_UP, Decimal
from itertools import groupby
from typing import NamedTuple

WEEK = 7 * 24 * 60 * 60


class Event(NamedTuple):
    """The columns of `events` that a session is made of, in the order in which events lie."""

    user_id: str
    event_time: object  # an instant, in UTC
    event_id: str
    session_hint: str | None
    item_id: str
    event_type: str
    amount: float | None
    ingest_date: object


def cut(events, gap_minutes):
    """The sessions, each a list of events in order."""
    sessions = []
    for _, mine in groupby(sorted(events, key=lambda e: e[:3]), key=lambda e: e.user_id):
        last = None
        for event in mine:
            silence = (event.event_time - last.event_time).total_seconds() if last else None
            if last and event.session_hint and last.session_hint:
                starts = event.session_hint != last.session_hint or silence > WEEK
            else:
                starts = last is None or silence > 60 * gap_minutes
            if starts:
                sessions.append([])
            sessions[-1].append(event)
            last = event
    return sessions


def session_rows(events, *, gap_minutes, zone):
    """The rows of `sessions`, by session_id."""
    rows = {}
    for session in cut(events, gap_minutes):
        first = session[0]
        rows[first.event_id] = {
            "session_id": first.event_id,
            "user_id": first.user_id,
            "start_time": first.event_time,
            "end_time": session[-1].event_time,
            "num_events": len(session),
            "num_items": len({event.item_id for event in session}),
            "spend": float(sum(cents(event.amount) for event in session)),
            "is_converted": any(event.event_type == "purchase" for event in session),
            "session_date": first.event_time.astimezone(zone).date(),
        }
    return rows


def cents(amount):
    """To four places, so that a sum has one value in whatever order."""
    return Decimal(str(amount or 0.0)).quantize(Decimal("0.0001"), ROUND_HALF_UP)


def latest(events, max_events):
    """Each user's latest events, oldest first, and the totals of all: what a sequence holds."""
    users = defaultdict(list)
    for event in events:
        users[event.user_id].append(event)
    return {
        user: {
            "event_ids": [event.event_id for event in in_order(mine)[-max_events:]],
            "lifetime_events": len(mine),
            "lifetime_spend": float(sum(cents(event.amount) for event in mine)),
            "first_event_time": min(event.event_time for event in mine),
            "last_event_time": max(event.event_time for event in mine),
        }
        for user, mine in users.items()
    }


def in_order(events):
    return sorted(events, key=lambda event: (event.event_time, event.event_id))
