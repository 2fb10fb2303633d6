"""Every table: its key, its partition, its columns with types, units and meaning.

Types are words that every engine here has: ``string``, ``int32``, ``int64``, ``float64``,
``boolean``, ``date``, ``timestamp`` (microseconds, UTC), ``binary`` (bytes), ``list<T>``,
``map<string,string>``.
``jobs/lake`` turns them into Spark, Arrow and Iceberg types, ``jobs/warehouse`` into SQL.
"""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Column:
    name: str
    type: str
    meaning: str
    unit: str = ""
    nullable: bool = False
    in_hash: bool = True  # False where equal rows may differ: when or how made, not what


@dataclass(frozen=True)
class Table:
    name: str
    key: tuple[str, ...]
    partition: str
    columns: tuple[Column, ...]
    meaning: str
    readers: Literal["jobs", "marketing", "inventory", "both", "operators"] = "jobs"

    @property
    def column_names(self) -> list[str]:
        return [column.name for column in self.columns]

    def column(self, name: str) -> Column:
        return next(column for column in self.columns if column.name == name)


_USER = Column("user_id", "string", "whoever the events belong to")
_ITEM = Column("item_id", "string", "what the event was about")
_CUTOFF = Column("cutoff", "date", "the first day that the model did not see")
_CATEGORY = Column("category", "string", "the item's category, '' where unknown")
_MODEL_VERSION = Column("model_version", "string", "version in the MLflow registry")

_OF_ACTIVE = (
    "asked of users with an event in the `horizons.churn_active_days` (60) days before the cutoff, "
    "null for others"
)
_LAST_EVENT = Column(
    "last_event_date",
    "date",
    "day of the user's latest event before the cutoff, business time zone; null where the clocks "
    "of the log ran ahead and there is none",
    nullable=True,
)

PURCHASE = "purchase"  # the event_type that buys
RETURN = "return"  # the event_type that brings back what was bought
PUBLISHED, REFUSED = "published", "refused"  # outcomes in the ledger
SUM_TOLERANCE = 1e-6  # by which a sum of forecasts may miss: a share of it, of one unit at least

_COUNTED = "counted as the setting `money` says"  # docs/money.md
_TARGET_DATE = Column("target_date", "date", "the day that is forecast")
_QUANTILES = (
    Column("units_p10", "float64", "sold with probability 0.1 at most", "units"),
    Column("units_p50", "float64", "as likely more as less", "units"),
    Column("units_p90", "float64", "sold with probability 0.9 at most", "units"),
)
_FORECASTER = Column(
    "model_version", "string", "registered model/version, or weekday-mean-8w: the rule"
)

# ---- the lake ------------------------------------------------------------------------------------

EVENTS = Table(
    name="events",
    key=("event_id",),
    partition="ingest_date",
    meaning="One thing that one user did at one instant. Where the log does not name the user, it "
    "counts for items and their demand, and is in no session, no sequence and no score.",
    columns=(
        Column("event_id", "string", "the log's own id, or a hash of the line's content"),
        Column("user_id", "string", "who it was; null where the log does not say", nullable=True),
        _ITEM,
        Column("event_type", "string", "view, cart, purchase, return, …"),
        Column("event_time", "timestamp", "when it happened"),
        Column("category", "string", "the item's category", nullable=True),
        Column("price", "float64", "price of one unit", "currency", nullable=True),
        Column(
            "quantity",
            "float64",
            "units; below 0 where they come back, as those of a return always are",
            "units",
            nullable=True,
        ),
        Column(
            "amount",
            "float64",
            "of the whole line: paid by a purchase; below 0 where money goes back, as that of a "
            "return always does; of other types what it would cost, which counts as no money",
            "currency",
            nullable=True,
        ),
        Column("session_hint", "string", "the log's own basket or session", nullable=True),
        Column("text", "string", "words that came with it: a search, a review", nullable=True),
        Column("properties", "map<string,string>", "columns that the mapping keeps as they are"),
        Column("ingest_date", "date", "the day on which we learnt of it"),
    ),
)

QUARANTINE = Table(
    name="quarantine",
    key=("source", "line"),
    partition="ingest_date",
    meaning="A line that did not become an event, kept byte for byte (of one longer than 1 MiB "
    "its first 64 KiB), with the reason.",
    columns=(
        Column("source", "string", "the raw file"),
        Column("line", "int64", "its line, from 1"),
        Column("reason", "string", "why it was refused"),
        Column("raw", "binary", "the line's own bytes, without its line feed", "bytes"),
        Column("ingest_date", "date", "the day on which we learnt of it"),
    ),
)

RAW_FILES = Table(
    name="raw_files",
    key=("source",),
    partition="ingest_date",
    meaning="A raw file that was ingested, and what became of its lines: a delivery that comes "
    "again, under whatever name, is known by its digest.",
    readers="operators",
    columns=(
        Column("source", "string", "the raw file"),
        Column("digest", "string", "SHA-256 of what it holds, unpacked", nullable=True),
        Column("repeats", "string", "the file of an earlier day that holds it", nullable=True),
        Column("lines", "int64", "lines in it", "lines"),
        Column("events", "int64", "that became events", "lines"),
        Column("duplicates", "int64", "whose event was there already", "lines"),
        Column("altered", "int64", "of the duplicates: with other content", "lines"),
        Column("quarantined", "int64", "that were set aside", "lines"),
        Column("ingest_date", "date", "the day on which we learnt of it"),
    ),
)

SESSIONS = Table(
    name="sessions",
    key=("session_id",),
    partition="session_date",
    meaning="One user's events with one session hint, or, where the log gives none, with no gap "
    "longer than the session gap. Sessions of several hints may lie between each other.",
    columns=(
        Column("session_id", "string", "the id of its first event"),
        _USER,
        Column("start_time", "timestamp", "its first event"),
        Column("end_time", "timestamp", "its last event"),
        Column("num_events", "int64", "events in it", "events"),
        Column("num_items", "int64", "different items in it", "items"),
        Column("spend", "float64", f"paid in it, {_COUNTED}", "currency"),
        Column("is_converted", "boolean", "does it hold a purchase that was paid for?"),
        Column("session_date", "date", "day of its first event, business time zone"),
    ),
)

SESSION_EVENTS = Table(
    name="session_events",
    key=("event_id",),
    partition="session_date",
    meaning="An event with its session, and its place in it.",
    columns=(
        Column("session_id", "string", "the id of the session's first event"),
        Column("position", "int32", "place in the session, from 1; ties follow event_id"),
        Column("event_id", "string", "the event"),
        _USER,
        _ITEM,
        Column("event_type", "string", "view, cart, purchase, …"),
        Column("event_time", "timestamp", "when it happened"),
        Column("category", "string", "the item's category", nullable=True),
        Column("price", "float64", "of one unit", "currency", nullable=True),
        Column("quantity", "float64", "units, as in `events`", "units", nullable=True),
        Column("amount", "float64", "as in `events`", "currency", nullable=True),
        Column("session_date", "date", "day of the session's first event, business time zone"),
    ),
)

SEQUENCES = Table(
    name="sequences",
    key=("user_id", "cutoff"),
    partition="cutoff",
    meaning="One user's latest events before the cutoff, oldest first, and totals over all. "
    "A partition is whole (`since` is null: everybody ever seen, all their events) or a night: "
    "rows of those who have events ingested from `since` on, made of these events alone.",
    columns=(
        _USER,
        Column("event_times", "list<timestamp>", "when; ties follow event_id"),
        Column("event_ids", "list<string>", "which events"),
        Column("item_ids", "list<string>", "what"),
        Column("event_types", "list<string>", "view, cart, purchase, …"),
        Column("categories", "list<string>", "the items' categories, '' where unknown"),
        Column("quantities", "list<float64>", "as in `events`, 0 where unknown", "units"),
        Column("amounts", "list<float64>", "as in `events`, NaN where unknown", "currency"),
        Column(
            "texts",
            "list<string>",
            "the words of each, '' where there are none; null where no event of the row has any",
            nullable=True,
        ),
        Column("session_starts", "list<boolean>", "first, or after a longer silence than the gap"),
        Column("lifetime_events", "int64", "all of these, kept in the arrays or not", "events"),
        Column("lifetime_spend", "float64", f"paid in all of these, {_COUNTED}", "currency"),
        Column("first_event_time", "timestamp", "the first of all of these"),
        Column("last_event_time", "timestamp", "the latest event"),
        Column(
            "since",
            "date",
            "the row is to be folded onto those of this cutoff; null in a whole partition",
            nullable=True,
            in_hash=False,
        ),
        _CUTOFF,
    ),
)

SERIES = Table(
    name="series",
    key=("item_id", "day", "cutoff"),
    partition="cutoff",
    meaning="Units of an item sold on a day before the cutoff, zeros included: gross, or net of "
    "what came back on that day, so that a day may be below 0 (docs/money.md).",
    columns=(
        _ITEM,
        Column("category", "string", "the item's category", nullable=True),
        Column("day", "date", "business time zone"),
        Column("units", "float64", "sold, less what came back where `money` is net", "units"),
        Column(
            "revenue", "float64", "paid, less what was paid back where `money` is net", "currency"
        ),
        _CUTOFF,
    ),
)

PROMOTIONS = Table(
    name="promotions",
    key=("item_id", "week_start"),
    partition="week_start",
    meaning="How widely an item is promoted in the 7 days from a day on, known before they come.",
    columns=(
        _ITEM,
        Column("week_start", "date", "the first of the 7 days"),
        Column("display_share", "float64", "of the stores, that have it on display", "0 to 1"),
        Column("mailer_share", "float64", "of the stores, that have it in the mailer", "0 to 1"),
    ),
)

SCORES = Table(
    name="scores",
    key=("user_id", "cutoff"),
    partition="cutoff",
    meaning="The champion's answer for a user, as of the cutoff.",
    columns=(
        _USER,
        Column("purchase_probability_7d", "float64", "buys in the 7 days from the cutoff on"),
        Column(
            "churn_probability_28d",
            "float64",
            f"no event in the 28 days from the cutoff on; {_OF_ACTIVE}",
            nullable=True,
        ),
        _LAST_EVENT,
        Column(
            "expected_spend_28d",
            "float64",
            f"mean of what is paid in those 28 days, {_COUNTED}, at least 0; 0 in a log without "
            "amounts",
            "currency",
        ),
        Column("recommended_item_ids", "list<string>", "likeliest next items, best first"),
        Column("recommended_scores", "list<float64>", "their probabilities"),
        Column("embedding", "list<float64>", "the user's state"),
        Column("model_name", "string", "registered model"),
        _MODEL_VERSION,
        Column("run_id", "string", "MLflow run that trained it"),
        _CUTOFF,
    ),
)

DEMAND = Table(
    name="demand",
    key=("item_id", "target_date", "cutoff"),
    partition="cutoff",
    meaning="Units of an item expected on a day from the cutoff on.",
    columns=(
        _ITEM,
        _CATEGORY,
        _TARGET_DATE,
        *_QUANTILES,
        Column("expected_units", "float64", "mean", "units"),
        _FORECASTER,
        _CUTOFF,
    ),
)

DEMAND_BY_CATEGORY = Table(
    name="demand_by_category",
    key=("category", "target_date", "cutoff"),
    partition="cutoff",
    meaning="Units of a category's items in `demand`, all together, expected on a day from the "
    "cutoff on. Made by the run that made `demand`.",
    columns=(
        Column("category", "string", "of these items, '' for those whose category is unknown"),
        _TARGET_DATE,
        *_QUANTILES,
        Column(
            "expected_units",
            "float64",
            f"mean; those of the category's items add up to it, within {SUM_TOLERANCE:f} of it",
            "units",
        ),
        _FORECASTER,
        _CUTOFF,
    ),
)

LAKE = (
    EVENTS,
    QUARANTINE,
    RAW_FILES,
    SESSIONS,
    SESSION_EVENTS,
    SEQUENCES,
    SERIES,
    PROMOTIONS,
    SCORES,
    DEMAND,
    DEMAND_BY_CATEGORY,
)

# ---- the warehouse -------------------------------------------------------------------------------

USER_SCORES = Table(
    name="user_scores",
    key=("cutoff", "user_id"),
    partition="cutoff",
    readers="marketing",
    meaning="Who will buy, who will leave, and what each is worth: one row for every known user "
    "seen before the cutoff. Each column is answered for users like those whom it was judged on.",
    columns=(
        _CUTOFF,
        _USER,
        Column(
            "purchase_probability_7d",
            "float64",
            "probability of a purchase that is paid for (docs/money.md) in the 7 days from the "
            "cutoff on; of every user",
            "0 to 1",
        ),
        Column(
            "purchase_decile", "int32", "10: the tenth of all users likeliest to buy", "1 to 10"
        ),
        Column(
            "churn_probability_28d",
            "float64",
            "probability of no event at all in the 28 days from the cutoff on; " + _OF_ACTIVE,
            "0 to 1",
            nullable=True,
        ),
        Column(
            "churn_decile",
            "int32",
            "10: of the users who are asked, the tenth likeliest to leave; null for others",
            "1 to 10",
            nullable=True,
        ),
        Column(
            "expected_spend_28d",
            "float64",
            "mean of what a user, any user, will have paid in the 28 days from the cutoff on, "
            f"{_COUNTED}, at least 0; 0 in a log without amounts",
            "currency",
        ),
        Column(
            "spend_decile", "int32", "10: the tenth of all users that will spend most", "1 to 10"
        ),
        Column("model_name", "string", "registered model"),
        _MODEL_VERSION,
        Column("run_id", "string", "MLflow run that trained the model"),
        Column("scored_at", "timestamp", "when the row was made", in_hash=False),
        _LAST_EVENT,  # the last column, so that a view of before goes on and has it, too
    ),
)

USER_RECOMMENDATIONS = Table(
    name="user_recommendations",
    key=("cutoff", "user_id", "rank"),
    partition="cutoff",
    readers="marketing",
    meaning="What to offer: each user's likeliest next items, of those known 56 days before the "
    "model's training cutoff; one that came later is offered to nobody.",
    columns=(
        _CUTOFF,
        _USER,
        Column("rank", "int32", "1 is the likeliest"),
        _ITEM,
        Column("score", "float64", "probability among all items", "0 to 1"),
    ),
)

ITEM_DEMAND = Table(
    name="item_demand",
    key=("cutoff", "item_id", "target_date"),
    partition="cutoff",
    readers="inventory",
    meaning="How much of what, when: units per item and day.",
    columns=(_CUTOFF, *(column for column in DEMAND.columns if column.name != "cutoff")),
)

CATEGORY_DEMAND = Table(
    name="category_demand",
    key=("cutoff", "category", "target_date"),
    partition="cutoff",
    readers="inventory",
    meaning="How much of a category, when: units per category and day of its items in "
    "`item_demand`, all together.",
    columns=(
        _CUTOFF,
        *(column for column in DEMAND_BY_CATEGORY.columns if column.name != "cutoff"),
    ),
)

MODELS = Table(
    name="models",
    key=("name", "version"),
    partition="version",
    readers="both",
    meaning="The models whose scores and forecasts are in the other tables, and those judged.",
    columns=(
        Column("name", "string", "registered model"),
        Column("version", "string", "version in the MLflow registry"),
        Column("encoder", "string", "lstm, gru, cnn or transformer"),
        Column("trained_at", "timestamp", "end of training"),
        Column("training_cutoff", "date", "the first day that training did not know"),
        Column(
            "metrics",
            "string",
            "JSON: head → metric → value on matured cutoffs; purchase and spend of every user seen "
            "before, churn of those active lately, items of those who bought in the 7 days after",
        ),
        Column("promoted_at", "timestamp", "when it became champion", nullable=True),
        Column("promoted_by", "string", "who or what promoted it", nullable=True),
        Column(
            "verdict",
            "string",
            "JSON: what the gate said: cutoff, reasons with numbers and intervals, rule, snapshots",
            nullable=True,
        ),
    ),
)

PUBLISH_LEDGER = Table(
    name="publish_ledger",
    key=("table_name", "cutoff", "run_key"),
    partition="cutoff",
    readers="operators",
    meaning="One row for each table of each run: what was published, or refused, and why.",
    columns=(
        Column("table_name", "string", "the table that was to be switched"),
        _CUTOFF,
        Column("run_key", "string", "the run"),
        Column("outcome", "string", "published, or refused: then the table did not change"),
        Column("reason", "string", "why it was refused", nullable=True),
        Column("num_rows", "int64", "rows of the night in this table", "rows"),
        Column("content_hash", "string", "the same rows give the same hash, in whatever order"),
        Column("distributions", "string", "JSON: score → users in each of 20 fixed bins"),
        Column("snapshot_ids", "string", "JSON: lake table → Iceberg snapshot read"),
        Column("published_at", "timestamp", "when the run came to publish", in_hash=False),
    ),
)

NIGHTLY = (USER_SCORES, USER_RECOMMENDATIONS, ITEM_DEMAND, CATEGORY_DEMAND)  # replaced by cutoff
WAREHOUSE = (*NIGHTLY, MODELS, PUBLISH_LEDGER)
