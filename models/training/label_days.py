"""Which labels a training can have at all, by the calendar: said before any row is read."""

from datetime import date, datetime, timedelta
from zoneinfo import ZoneInfo

from contracts.errors import CutoffError
from models.config import LabelHorizons, TrainConfig


def label_limit(cutoff: date, horizons: LabelHorizons) -> date:
    """The first day that training may not see: validation begins there, tests one window later."""
    return cutoff - 2 * timedelta(days=horizons.longest_days)


def refuse_unlabelled(
    cutoff: date,
    *,
    first_event: datetime,
    config: TrainConfig,
    horizons: LabelHorizons,
    zone: ZoneInfo,
) -> None:
    """Raise CutoffError when a head could not have one label that closed before the limit."""
    limit = label_limit(cutoff, horizons)
    # Not before the warm-up has passed, nor on the day of the first event, which must lie before.
    warm = first_event.date() + timedelta(days=config.warmup_days - 1)
    first_query = max(warm, first_event.astimezone(zone).date() + timedelta(days=1))
    lengths = {
        "purchase_days": horizons.purchase_days,
        "churn_days": horizons.churn_days,
        "spend_days": horizons.spend_days,
        "items_days": horizons.items_days,
    }
    open_days = (limit - first_query).days
    missing = [name for name, days in lengths.items() if days > open_days]
    if not missing:
        return
    days = f"queries begin on {first_query} (first event {first_event.date()}, warmup_days "
    days += f"{config.warmup_days}) and labels must close by {limit}"
    if len(missing) == len(lengths):
        found = f"an empty training window: {days}"
    else:
        said = ", ".join(f"horizons.{name} {lengths[name]}" for name in missing)
        found = f"no matured label for {said}: {days}"
    longest = max(lengths.values())
    possible = cutoff + timedelta(days=longest - open_days)
    raise CutoffError(
        f"--cutoff {cutoff}",
        found=found,
        expected=f"{longest} days between them, as from {possible} on",
        do="Choose a later cutoff, ingest earlier history, or lower warmup_days or the horizons.",
    )
