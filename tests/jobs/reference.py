"""Sessions in plain Python, short enough to be checked by eye: what Spark's must equal."""

from collections import defaultdict
from datetime import timedelta
from decimal import ROUND_HALF_UP, Decimal
from itertools import groupby
from typing import NamedTuple

DAY = timedelta(days=1)


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
    """The sessions, each a list of events in order, by user and first event."""
    sessions = []
    for _, mine in groupby(sorted(events, key=lambda e: e[:3]), key=lambda e: e.user_id):
        session, of_hint = [], {}  # that of the event before; of each hint: session, latest event
        for event in mine:
            silence = event.event_time - session[-1].event_time if session else 7 * DAY
            is_near = bool(session) and silence <= timedelta(minutes=gap_minutes)
            hint = event.session_hint
            if hint in of_hint and event.event_time - of_hint[hint][1].event_time <= 7 * DAY:
                session = of_hint[hint][0]
            elif not (is_near and (hint is None or is_prelude(session, event))):
                session = []
                sessions.append(session)
            session.append(event)
            if hint is not None:
                of_hint[hint] = session, event
    return sessions


def is_prelude(session, event):
    """Are these events without a hint, of this day, the first of the hint that comes now?"""
    has_hint = any(one.session_hint is not None for one in session)
    return not has_hint and event.event_time - session[0].event_time <= DAY


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
            "spend": float(sum(spend(event) for event in session)),
            "is_converted": any(is_bought(event) for event in session),
            "session_date": first.event_time.astimezone(zone).date(),
        }
    return rows


def spend(event):
    """Net: what a purchase takes, less what a return brings back; nothing else moves money."""
    return {"purchase": cents(event.amount), "return": -abs(cents(event.amount))}.get(
        event.event_type, Decimal(0)
    )


def is_bought(event):
    """For nothing is not bought; for what nobody knows is."""
    return event.event_type == "purchase" and (event.amount is None or event.amount > 0)


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
            "lifetime_spend": float(sum(spend(event) for event in mine)),
            "first_event_time": min(event.event_time for event in mine),
            "last_event_time": max(event.event_time for event in mine),
        }
        for user, mine in users.items()
    }


def in_order(events):
    return sorted(events, key=lambda event: (event.event_time, event.event_id))
