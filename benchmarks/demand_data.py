"""Complete Journey by day: units and promotions of every item, by the product's own jobs."""

from dataclasses import dataclass
from datetime import date
from pathlib import Path

import numpy as np
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from contracts.tables import PURCHASE
from contracts.windows import Window
from jobs.build_promotions import build_promotions
from jobs.build_series import units_by_day
from jobs.demand.panels import planned_weeks
from jobs.ingestion.load_logs import Place
from jobs.ingestion.promotion_plan import read_plan
from jobs.running.settings import PROJECT, Settings
from jobs.sources.mapping import load_source
from jobs.write_raw import ZONE, package_tables
from models.demand.panel import Floats, Ints, Panel, promotions_by_day

YEAR = Window(date(2017, 1, 1), date(2018, 1, 1))
OTHERS = "others of "  # the items of a category that have no series of their own, as one


@dataclass(frozen=True)
class Sales:
    """N items, C categories, D days of the year."""

    item_ids: np.ndarray  # (N,)
    categories: tuple[str, ...]
    item_categories: Ints  # (N,)
    units: Floats  # (N, D)
    promotions: Floats  # (N, D, 2)

    def panel(self, cutoff: date, *, top_items: int, wanted: Ints, with_promotions: bool) -> Panel:
        """What a night would see: its most regular items, the rest of each category as one.

        ``wanted`` items have a series in any case: those that are judged.
        """
        end = (cutoff - YEAR.start).days
        days_sold = (self.units[:, max(0, end - 112) : end] > 0).sum(axis=1)
        regular = np.argsort(-days_sold, kind="stable")[:top_items]
        chosen = np.union1d(regular, wanted)
        others = np.zeros((len(self.categories), end), dtype=np.float32)
        is_other = np.ones(len(self.item_ids), dtype=bool)
        is_other[chosen] = False
        np.add.at(others, self.item_categories[is_other], self.units[is_other, :end])
        plans = np.zeros((len(others), *self.promotions.shape[1:]), dtype=np.float32)
        return Panel(
            (*self.item_ids[chosen], *(f"{OTHERS}{name}" for name in self.categories)),
            self.categories,
            np.concatenate([self.item_categories[chosen], np.arange(len(self.categories))]),
            YEAR.start,
            np.concatenate([self.units[chosen, :end], others]),
            np.concatenate([self.promotions[chosen], plans]) if with_promotions else None,
        )

    def most_sold(self, cutoff: date, count: int) -> Ints:
        """(count,) items with the most units before the cutoff."""
        return _most(self.units[:, : (cutoff - YEAR.start).days], count)

    @property
    def category_units(self) -> Floats:
        """-> (C, D)"""
        total = np.zeros((len(self.categories), self.units.shape[1]), dtype=np.float32)
        np.add.at(total, self.item_categories, self.units)
        return total

    def most_sold_categories(self, cutoff: date, count: int) -> Ints:
        return _most(self.category_units[:, : (cutoff - YEAR.start).days], count)


def read_sales(spark: SparkSession, settings: Settings) -> Sales:
    """The installed package's tables, through the jobs' own functions."""
    transactions, products = package_tables()
    events = _events(spark, str(transactions), str(products))
    sold = units_by_day(
        events, window=YEAR, exclusions=settings.exclusions.rules, money=settings.money, zone=ZONE
    ).toArrow()
    item_ids, item = np.unique(sold["item_id"].to_numpy(), return_inverse=True)
    labels = np.asarray(sold["category"].fill_null("").to_numpy(), dtype=object)
    categories, label = np.unique(labels, return_inverse=True)
    item_categories = np.zeros(len(item_ids), dtype=np.int64)
    item_categories[item] = label
    units = np.zeros((len(item_ids), len(YEAR.days)), dtype=np.float32)
    day = (sold["day"].to_numpy() - np.datetime64(YEAR.start)).astype(np.int64)
    units[item, day] = sold["units"].to_numpy()
    promotions = _promotions(spark, transactions.parent, item_ids)
    return Sales(item_ids, tuple(categories), item_categories, units, promotions)


def _events(spark: SparkSession, transactions: str, products: str) -> DataFrame:
    category = spark.read.parquet(products).select(
        "product_id", F.col("product_category").alias("category")
    )
    return (
        spark.read.parquet(transactions)
        .join(F.broadcast(category), on="product_id", how="left")
        .select(
            F.col("product_id").cast("string").alias("item_id"),
            F.lit(PURCHASE).alias("event_type"),
            F.col("transaction_timestamp").alias("event_time"),
            "category",
            F.col("quantity").cast("double").alias("quantity"),
            F.col("sales_value").cast("double").alias("amount"),
        )
    )


def _promotions(spark: SparkSession, folder: Path, item_ids: np.ndarray) -> Floats:
    """-> (N, D, 2): what the plan has for each day, as the product reads it."""
    file = PROJECT / "configs" / "sources" / "complete_journey.yaml"
    mapping = load_source(file).promotions
    assert mapping is not None, "the shipped mapping has a plan"
    place = Place(str(folder), str(file))
    with read_plan(spark, mapping, place, max_bad_fraction=0.0) as plan:
        rows = build_promotions(plan).toArrow()
    return promotions_by_day(
        item_ids.tolist(), planned_weeks(rows), first_day=YEAR.start, num_days=len(YEAR.days)
    )


def _most(units: Floats, count: int) -> Ints:
    return np.argsort(-units.sum(axis=1), kind="stable")[:count]
