"""The configuration of a deployment: what it may say of the warehouse, and what it may not."""

import json
from datetime import date

import pytest
import yaml

from contracts.errors import ConfigError, UnknownKeyError
from jobs.running.settings import (
    ExclusionSettings,
    FileWarehouse,
    PostgresWarehouse,
    Settings,
    load_settings,
    recalled,
)

URI = "postgresql://ann@db:5432/warehouse"


def changed(settings: Settings, monkeypatch: pytest.MonkeyPatch, **values: str) -> Settings:
    for name, value in values.items():
        monkeypatch.setenv(f"NIGHTSHIFT__WAREHOUSE__{name.upper()}", value)
    return load_settings(settings.file)


def test_the_uri_says_which_kind_of_warehouse_it_is(settings, monkeypatch):
    """A path is a DuckDB file; a server's URI is a server, and names its readers' role."""
    file = settings.warehouse
    server = changed(settings, monkeypatch, uri=URI, reader_role="readers").warehouse

    assert file == FileWarehouse(uri="warehouse.duckdb", keep_nights=90)
    assert server == PostgresWarehouse(uri=URI, keep_nights=90, reader_role="readers")


def test_what_counts_as_money_reaches_the_labels(settings, monkeypatch):
    """Net where nothing is said, as in a configuration of before there was a choice."""
    monkeypatch.setenv("NIGHTSHIFT__MONEY", "gross")
    gross = load_settings(settings.file)
    monkeypatch.setenv("NIGHTSHIFT__MONEY", "nett")
    with pytest.raises(ConfigError) as refused:
        load_settings(settings.file)

    assert (settings.money, settings.label_horizons.money) == ("net", "net")
    assert (gross.money, gross.label_horizons.money) == ("gross", "gross")
    assert str(refused.value) == (
        "environment: NIGHTSHIFT__MONEY: found 'nett', expected input should be 'net' or 'gross'. "
        "Correct the value."
    )


def test_a_file_has_no_readers_role(settings, monkeypatch):
    """A setting without effect cannot be written."""
    with pytest.raises(UnknownKeyError) as refused:
        changed(settings, monkeypatch, reader_role="readers")

    assert str(refused.value) == (
        f"{settings.file}: found the key 'warehouse.reader_role', "
        "expected one of keep_nights, uri. Correct the spelling or remove the key."
    )


def test_a_server_without_its_readers_role_is_refused(settings, monkeypatch):
    """What is required is asked for by name."""
    with pytest.raises(ConfigError) as refused:
        changed(settings, monkeypatch, uri=URI)

    assert str(refused.value) == (
        f"{settings.file}: warehouse.reader_role: found nothing, expected field required. "
        "Correct the value."
    )


def test_a_database_that_is_not_reached_is_refused_and_not_taken_for_a_file(settings, monkeypatch):
    """Snowflake and BigQuery have drivers, which could not be tried here: so none is promised."""
    with pytest.raises(ConfigError) as refused:
        changed(settings, monkeypatch, uri="snowflake://account/warehouse")

    assert str(refused.value) == (
        "environment: NIGHTSHIFT__WAREHOUSE__URI: found 'snowflake://account/warehouse', expected "
        "a path of a DuckDB file, or a URI that begins with postgresql://. Correct the value."
    )


@pytest.mark.parametrize(
    ("name", "days", "column"),
    [
        ("purchase_days", 7, "purchase_probability_7d"),
        ("churn_days", 28, "churn_probability_28d"),
        ("spend_days", 28, "expected_spend_28d"),
    ],
)
def test_a_horizon_is_the_one_that_its_column_is_named_after(
    settings, monkeypatch, name, days, column
):
    """Nobody reads a probability of 14 days under the name of 7."""
    monkeypatch.setenv(f"NIGHTSHIFT__HORIZONS__{name.upper()}", "14")
    with pytest.raises(ConfigError) as refused:
        load_settings(settings.file)

    assert getattr(settings.horizons, name) == days
    assert str(refused.value) == (
        f"environment: NIGHTSHIFT__HORIZONS__{name.upper()}: found 14, expected {days}, because "
        f"its column in the tables is named {column}. Correct the value."
    )


@pytest.mark.parametrize("uri", ["host=db dbname=x", "user = ann host=db", "service=mine"])
def test_a_server_named_in_keywords_is_not_taken_for_a_file(settings, monkeypatch, uri):
    """libpq reads them; a file of that name would be made instead."""
    with pytest.raises(ConfigError) as refused:
        changed(settings, monkeypatch, uri=uri)

    assert str(refused.value) == (
        f"environment: NIGHTSHIFT__WAREHOUSE__URI: found {uri!r}, expected a path "
        "of a DuckDB file, or a URI that begins with postgresql://. Correct the value."
    )


def test_a_variable_that_is_no_value_is_named(settings, monkeypatch):
    """The environment is read as the file is: braces begin a mapping."""
    name = "NIGHTSHIFT__RECOMMENDATIONS__EXCLUDE_ITEMS_FILE"
    monkeypatch.setenv(name, "{cutoff}.txt")
    with pytest.raises(ConfigError) as refused:
        load_settings(settings.file)
    monkeypatch.setenv(name, '"{cutoff}.txt"')
    quoted = load_settings(settings.file)

    assert str(refused.value) == (
        f"environment: {name}: found no YAML in line 1, column 9: expected '<document start>', "
        "but found '<scalar>', expected a value as it stands in the file. "
        "Put it in quotes of its own, as in '\"{cutoff}.txt\"'."
    )
    assert quoted.recommendations.exclude_items_file == "{cutoff}.txt"


@pytest.mark.parametrize("text", ["", "  "])
@pytest.mark.parametrize("name", ["NIGHTSHIFT__WAREHOUSE__URI", "NIGHTSHIFT_CONFIG"])
def test_a_variable_without_a_value_is_refused(monkeypatch, name, text):
    """It was taken for null, or for the project's own configuration: a shell's `X=$UNSET`."""
    monkeypatch.setenv(name, text)
    with pytest.raises(ConfigError) as refused:
        load_settings()

    assert str(refused.value) == (
        f"environment: {name}: found no value, expected a value, or no such variable. "
        f"Give it a value, or `unset {name}`."
    )


def test_a_key_that_stands_twice_is_refused(settings, monkeypatch):
    """The second won without a word."""
    text = settings.file.read_text()
    file = settings.file.with_name("twice.yaml")
    file.write_text(f"spark: {{master: local}}\n{text}")
    line = 2 + text.splitlines().index("spark:")
    with pytest.raises(ConfigError) as refused:
        load_settings(file)
    monkeypatch.setenv("NIGHTSHIFT__SPARK", "{master: a, master: b}")
    with pytest.raises(ConfigError) as of_environment:
        load_settings(settings.file)

    assert str(refused.value) == (
        f"{file}: found the key 'spark' twice, in line 1 and in line {line}, "
        "expected each key once. Remove one of them."
    )
    assert of_environment.value.where == "environment: NIGHTSHIFT__SPARK"


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        ("AUDIT__MAX_PSI", ".inf", "input should be a finite number"),
        ("INGEST__MAX_BAD_FRACTION", ".nan", "input should be a finite number"),
        ("AUDIT__MAX_PSI", "true", "a number, not true or false"),
        ("RECOMMENDATIONS__TOP_K", "yes", "a number, not true or false"),
        ("SESSIONS__LATE_DAYS", "false", "a number, not true or false"),
        ("DEMAND__GATE__MAX_MEAN_BIAS", ".inf", "input should be a finite number"),
        ("GATE__NUM_BOOTSTRAP", "true", "a number, not true or false"),
    ],
)
def test_what_is_no_finite_number_is_refused(settings, monkeypatch, name, text, expected):
    """`top_k: yes` was 1, and no score ever moves by more than infinity."""
    monkeypatch.setenv(f"NIGHTSHIFT__{name}", text)
    with pytest.raises(ConfigError) as refused:
        load_settings(settings.file)

    assert refused.value.where == f"environment: NIGHTSHIFT__{name}"
    assert refused.value.expected == expected


def test_a_misspelt_key_is_named_with_the_nearest_known_one(settings, monkeypatch):
    """Also where the key that was meant is missing because of it."""
    values = yaml.safe_load(settings.file.read_text())
    values["sessions"]["gap_minute"] = values["sessions"].pop("gap_minutes")
    file = settings.file.with_name("misspelt.yaml")
    file.write_text(yaml.safe_dump(values))
    with pytest.raises(UnknownKeyError) as refused:
        load_settings(file)
    monkeypatch.setenv("NIGHTSHIFT__SPRAK__MASTER", "local")
    with pytest.raises(UnknownKeyError) as of_environment:
        load_settings(settings.file)

    assert str(refused.value) == (
        f"{file}: found the key 'sessions.gap_minute', expected one of gap_minutes, late_days. "
        "Did you mean gap_minutes? Correct the spelling or remove the key."
    )
    assert of_environment.value.do.startswith("Did you mean spark? ")


def test_a_folder_is_no_configuration(tmp_path):
    """Nor is anything else that cannot be read as text."""
    with pytest.raises(ConfigError) as refused:
        load_settings(tmp_path)
    (tmp_path / "binary.yaml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ConfigError) as unreadable:
        load_settings(tmp_path / "binary.yaml")

    assert str(refused.value) == (
        f"{tmp_path}: found Is a directory, expected a configuration, in a file that can be read. "
        "Give --config, or set NIGHTSHIFT_CONFIG."
    )
    assert "can't decode" in unreadable.value.found


def test_a_commit_of_before_there_were_exclusions_is_recalled_as_it_was_made(settings):
    """A list then had none; a series those of its own section. Another table names neither."""
    lists = {"settings": '{"recommendations": {"top_k": 3}}'}
    old = {"history_days": 9, "top_items": 5, "excluded_categories": ["FUEL"]}
    series = {"settings": json.dumps({"series": old})}

    assert recalled(settings, lists).exclusions == ExclusionSettings()
    assert recalled(settings, series).exclusions == ExclusionSettings(categories=("FUEL",))
    assert recalled(settings, series).series.history_days == 9
    assert recalled(settings, {}).exclusions == settings.exclusions != ExclusionSettings()


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        ("item_ids", "[7]", "ITEM_IDS: 0: found 7, expected text in quotes"),
        ("item_patterns", "[true]", "ITEM_PATTERNS: 0: found True, expected text in quotes"),
        ("item_patterns", "['']", "ITEM_PATTERNS: 0: found '', expected string should have at"),
        (
            "category_patterns",
            "['[z-a]']",
            "CATEGORY_PATTERNS: 0: found '[z-a]', expected a shell pattern (bad character range",
        ),
        ("items", "[milk]", "found the key 'exclusions.items', expected one of categories"),
    ],
)
def test_an_exclusion_that_would_mean_another_thing_is_refused(
    settings, monkeypatch, key, value, said
):
    monkeypatch.setenv(f"NIGHTSHIFT__EXCLUSIONS__{key.upper()}", value)
    with pytest.raises(ConfigError) as refused:
        load_settings(settings.file)

    assert said in str(refused.value)


def test_an_id_that_yaml_reads_as_a_number_is_refused_by_its_place(settings, monkeypatch):
    """It would be another id: 007 is 7."""
    monkeypatch.setenv("NIGHTSHIFT__EXCLUSIONS__ITEM_IDS", "['7', 007]")
    with pytest.raises(ConfigError) as refused:
        load_settings(settings.file)

    assert str(refused.value) == (
        "environment: NIGHTSHIFT__EXCLUSIONS__ITEM_IDS: 1: found 7, expected text in quotes: "
        "without them YAML may read another name, 7 for 007. Correct the value."
    )


@pytest.mark.parametrize("text", ["0", "'1511395200'", "20171123", "2017-11-23 00:00:00", "x"])
@pytest.mark.parametrize("name", ["INGEST__CLOSED_DAYS", "DEMAND__HOLIDAYS", "DEMAND__CLOSED_DAYS"])
def test_a_day_is_written_in_one_way(settings, monkeypatch, name, text):
    """A number was seconds since 1970: `closed_days: [0]` closed 1970-01-01."""
    monkeypatch.setenv(f"NIGHTSHIFT__{name}", f"[{text}]")
    with pytest.raises(ConfigError) as refused:
        load_settings(settings.file)
    monkeypatch.setenv(f"NIGHTSHIFT__{name}", "[2017-11-23, '2017-12-25']")
    section, key = name.lower().split("__")
    days = getattr(getattr(load_settings(settings.file), section), key)

    assert refused.value.where == f"environment: NIGHTSHIFT__{name}: 0"
    assert refused.value.expected == "a date written YYYY-MM-DD"
    assert days == (date(2017, 11, 23), date(2017, 12, 25))


@pytest.mark.parametrize(
    ("where", "text", "found"),
    [
        ("NIGHTSHIFT__SEQUENCES__MAX_EVENTS", "many", "'many'"),
        ("NIGHTSHIFT__TIME_ZONE", "Mars/Olympus", "'Mars/Olympus'"),
        ("NIGHTSHIFT__TIME_ZONE", "America", "'America'"),  # a folder of zones
        ("NIGHTSHIFT__SPARK: driver_memory", "{master: 'local[1]', partitions: 0}", "nothing"),
    ],
)
def test_a_wrong_value_of_the_environment_is_not_blamed_on_the_file(
    monkeypatch, where, text, found
):
    """Whoever is sent to the file finds a sound value there."""
    monkeypatch.setenv(where.split(": ")[0], text)

    with pytest.raises(ConfigError) as refused:
        load_settings()

    assert refused.value.where == f"environment: {where}"
    assert refused.value.found == found
