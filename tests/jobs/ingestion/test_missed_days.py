"""Which ingestion days are holes in the lake, and which days the shop was closed."""

from datetime import date

from jobs.ingestion.missed_days import Calendar, missed_days

SATURDAY = date(2017, 12, 23)
SUNDAY, CHRISTMAS, TUESDAY = (date(2017, 12, day) for day in (24, 25, 26))


def test_a_day_between_others_is_missed_unless_the_shop_was_closed():
    """By weekday, or by date."""
    ingested = [SATURDAY, date(2017, 12, 27)]
    closed = Calendar(frozenset([CHRISTMAS]), frozenset([6]))
    end = date(2017, 12, 28)

    assert missed_days(ingested, Calendar(), before=end) == [SUNDAY, CHRISTMAS, TUESDAY]
    assert missed_days(ingested, closed, before=end) == [TUESDAY]
    assert missed_days(ingested, closed, before=TUESDAY) == []


def test_what_came_before_the_first_day_is_no_hole():
    assert missed_days([], Calendar(), before=TUESDAY) == []
    assert missed_days([SUNDAY], Calendar(), before=CHRISTMAS) == []


def test_the_calendar_is_the_configurations(settings):
    """Days on which nothing can be sold need no delivery either."""
    ingest = settings.ingest.model_copy(update={"closed_weekdays": ("sunday",)})
    calendar = Calendar.of(settings.model_copy(update={"ingest": ingest}))
    asked = [SATURDAY, SUNDAY, CHRISTMAS, TUESDAY]

    assert [calendar.is_closed(day) for day in asked] == [False, True, True, False]
