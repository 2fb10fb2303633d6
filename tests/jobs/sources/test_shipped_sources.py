"""Every mapping of `configs/sources`, through the job that reads logs at night."""

import gzip
import json
from datetime import UTC, date, datetime, timedelta

import pytest
import yaml
import zstandard

from contracts.tables import EVENTS, QUARANTINE
from jobs.ingest_events import main
from jobs.lake.lake import open_lake
from jobs.running.settings import PROJECT

pytestmark = pytest.mark.spark

# The files of a day, those beside the days, what became of each line, and an event in full.
CASES = {
    "complete_journey": {
        "day": "2017-01-02",
        "files": {
            "part-0.jsonl.gz": [
                '{"household_id":2368,"store_id":443,"basket_id":31198892591,"product_id":844179,'
                '"quantity":2,"sales_value":5.12,"retail_disc":1.17,"coupon_disc":0.0,'
                '"coupon_match_disc":0.0,"week":2,"transaction_timestamp":'
                '"2017-01-02T00:05:54-05:00","product_category":"BEEF","department":"MEAT",'
                '"brand":"National"}',
            ]
        },
        "events": {"31198892591-844179": "purchase"},
        "refused": {},
        "event": {
            "user_id": "2368",
            "item_id": "844179",
            "event_time": "2017-01-02T05:05:54",
            "category": "BEEF",
            "price": 2.56,
            "quantity": 2.0,
            "amount": 5.12,
            "session_hint": "31198892591",
            "properties": {
                "store_id": "443",
                "department": "MEAT",
                "brand": "National",
                "retail_disc": "1.17",
                "coupon_disc": "0.0",
                "coupon_match_disc": "0.0",
                "week": "2",
            },
        },
    },
    "jsonl": {
        "day": "2026-03-01",
        "files": {
            "log.jsonl": [
                '{"event_id": "e1", "user_id": "u", "item_id": "i", "event_type": "return", '
                '"event_time": "2026-03-01T12:00:00Z", "price": 2.5, "quantity": -2, '
                '"category": "shoes", "session_id": "s"}',
                '{"event_id": "e2", "user_id": "u", "item_id": "i", "event_type": "stare", '
                '"event_time": "2026-03-01T12:00:00Z"}',
            ]
        },
        "events": {"e1": "return"},
        "refused": {2: "unknown event_type"},
        "event": {
            "user_id": "u",
            "item_id": "i",
            "event_time": "2026-03-01T12:00:00",
            "category": "shoes",
            "price": 2.5,
            "quantity": -2.0,
            "amount": -5.0,
            "session_hint": "s",
            "properties": {},
        },
    },
    "rees46": {
        "day": "2019-10-01",
        "files": {
            "2019-Oct.csv.zst": [
                "event_time,event_type,product_id,category_id,category_code,brand,price,user_id,"
                "user_session",
                "2019-10-01 00:00:00 UTC,view,44600062,2103807459595387724,,shiseido,35.79,"
                "541312140,72d76fde",
                "2019-10-01 00:00:00 UTC,view,44600062,2103807459595387724,,shiseido,35.79,"
                "541312140,72d76fde",
            ]
        },
        "events": {"44600062": "view"},
        "refused": {},
        "event": {
            "user_id": "541312140",
            "item_id": "44600062",
            "event_time": "2019-10-01T00:00:00",
            "category": None,
            "price": 35.79,
            "quantity": None,
            "amount": 35.79,
            "session_hint": "72d76fde",
            "properties": {"brand": "shiseido", "category_id": "2103807459595387724"},
        },
    },
    "retailrocket": {
        "day": "2015-06-02",
        "files": {
            "events.csv": [
                "timestamp,visitorid,event,itemid,transactionid",
                "1433221332117,257597,view,355908,",
                "1433224214164,992329,addtocart,248676,",
                "1433221999827,111016,transaction,318965,4000",
                "1433221999828,111016,unknown,318965,",
            ]
        },
        "beside": {
            "item_properties_part1.csv": [
                "timestamp,itemid,property,value",
                "1433041200000,318965,categoryid,209",
                "1433041200000,318965,available,1",
                "1433221999828,318965,categoryid,1338",  # a millisecond after the event
                "1433041200000,318965,790,n8400.000",
            ],
            "item_properties_part2.csv": [
                "timestamp,itemid,property,value",
                "1432436400000,318965,categoryid,12",
                "1433041200000,355908,categoryid,1",
            ],
        },
        "events": {"355908": "view", "248676": "cart", "318965": "purchase"},
        "refused": {5: "unknown event_type"},
        "event": {
            "user_id": "111016",
            "item_id": "318965",
            "event_time": "2015-06-02T05:13:19.827000",
            "category": "209",
            "price": None,
            "quantity": None,
            "amount": None,
            "session_hint": None,
            "properties": {"transactionid": "4000", "available": "1"},
        },
    },
    "taobao": {
        "day": "2017-11-26",
        "files": {
            "UserBehavior.csv.gz": [
                "1,2268318,2520377,pv,1511544070",
                "1,2333346,2520771,cart,1511561733",
                "1,2576651,149192,fav,1511572885",
                "1,3830808,4181361,buy,1511593493",
                "1,3830808,4181361,buy",
            ]
        },
        "events": {
            "2268318": "view",
            "2333346": "cart",
            "2576651": "favourite",
            "3830808": "purchase",
        },
        "refused": {5: "unreadable line"},
        "event": {
            "user_id": "1",
            "item_id": "3830808",
            "event_time": "2017-11-25T07:04:53",
            "category": "4181361",
            "price": None,
            "quantity": None,
            "amount": None,
            "session_hint": None,
            "properties": {},
        },
    },
    "online_retail": {
        "day": "2009-12-01",
        "files": {
            "online_retail_II.csv": [
                "Invoice,StockCode,Description,Quantity,InvoiceDate,Price,Customer ID,Country",
                '489434,85048,"15CM CHRISTMAS ""GLASS"" BALL, 20 LIGHTS",12,'
                "2009-12-01 07:45:00,6.95,13085,United Kingdom",
                "C489449,22087,PAPER BUNTING,-12,2009-12-01 10:33:00,2.95,16321,Australia",
                "489464,21733,85123a mixed,-96,2009-12-01 10:52:00,0.0,,United Kingdom",
                "A506401,B,Adjust bad debt,1,2009-12-01 13:36:00,-53594.36,,United Kingdom",
                ",21733,no invoice,1,2009-12-01 13:36:00,1.0,,United Kingdom",
            ]
        },
        "events": {"85048": "purchase", "22087": "return", "21733": "purchase"},
        "users": {"85048": "13085", "22087": "16321", "21733": None},
        "refused": {5: "unknown event_type", 6: "unknown event_type"},
        "event": {
            "user_id": "16321",
            "item_id": "22087",
            "event_time": "2009-12-01T10:33:00",
            "category": None,
            "price": 2.95,
            "quantity": -12.0,
            "amount": -35.4,
            "session_hint": "C489449",
            "properties": {"Description": "PAPER BUNTING", "Country": "Australia"},
        },
    },
    "yoochoose": {
        "day": "2014-04-07",
        "files": {
            "yoochoose-clicks.dat": [
                "1,2014-04-07T10:51:09.277Z,214536502,0",
                "1,2014-04-07T10:54:09.868Z,214536500,S",
            ],
            "yoochoose-buys.dat": [
                "1,2014-04-07T11:01:09.000Z,214821371,1046,2",
                "1,2014-04-07T11:01:09.000Z,214821371,dear,2",
                "2,2014-04-07T11:01:09.000Z,214821372,0,0",
            ],
        },
        "events": {
            "214536502": "view",
            "214536500": "view",
            "214821371": "purchase",
            "214821372": "purchase",
        },
        "amounts": {"214821371": 2092.0, "214821372": None},
        "refused": {2: "unreadable price"},
        "event": {
            "user_id": "1",
            "item_id": "214821371",
            "event_time": "2014-04-07T11:01:09",
            "category": None,
            "price": 1046.0,
            "quantity": 2.0,
            "amount": 2092.0,
            "session_hint": "1",
            "properties": {},
        },
    },
}


def written(folder, files):
    folder.mkdir(parents=True, exist_ok=True)
    for name, lines in files.items():
        data = "".join(f"{line}\n" for line in lines).encode()
        if name.endswith(".gz"):
            data = gzip.compress(data)
        if name.endswith(".zst"):
            data = zstandard.compress(data)
        (folder / name).write_bytes(data)


def run(settings, day, capsys):
    cutoff = date.fromisoformat(day) + timedelta(days=1)
    code = main(["--cutoff", str(cutoff), "--config", str(settings.file), "--json"])
    return code, json.loads(capsys.readouterr().out)


def test_every_mapping_that_is_shipped_is_tested():
    """Who adds a mapping adds rows of its log."""
    assert {file.stem for file in (PROJECT / "configs" / "sources").glob("*.yaml")} == {*CASES}


@pytest.mark.parametrize("name", sorted(CASES))
def test_a_shipped_mapping_makes_events_of_its_log(name, spark, settings, capsys, monkeypatch):
    """Types, users and refusals line by line, and one event to its last column."""
    case = CASES[name]
    monkeypatch.setenv("NIGHTSHIFT__SOURCE", name)
    monkeypatch.setenv("NIGHTSHIFT__INGEST__MAX_BAD_FRACTION", "0.9")
    mapping = PROJECT / "configs" / "sources" / f"{name}.yaml"
    settings.file.with_name("sources").mkdir()
    settings.file.with_name("sources").joinpath(mapping.name).write_text(mapping.read_text())
    written(settings.raw_folder / f"ingest_date={case['day']}", case["files"])
    written(settings.raw_folder, case.get("beside", {}))
    code, said = run(settings, case["day"], capsys)
    found = open_lake(settings).read_arrow(EVENTS).to_pylist()
    kept = open_lake(settings).read_arrow(QUARANTINE).to_pylist()
    (event,) = [row for row in found if row["item_id"] == case["event"]["item_id"]]
    by_id = name in ("complete_journey", "jsonl")

    assert code == 0, said
    assert said["lines"] == said["events"] + said["duplicates"] + said["quarantined"]
    assert {row["event_id" if by_id else "item_id"]: row["event_type"] for row in found} == (
        case["events"]
    )
    if "amounts" in case:
        bought = [row for row in found if row["event_type"] == "purchase"]
        assert {row["item_id"]: row["amount"] for row in bought} == case["amounts"]
    if "users" in case:
        assert {row["item_id"]: row["user_id"] for row in found} == case["users"]
    assert {row["line"]: row["reason"] for row in kept} == case["refused"]
    instant = datetime.fromisoformat(case["event"]["event_time"]).replace(tzinfo=UTC)
    got = {column: event[column] for column in case["event"]}
    assert {
        **got,
        "price": pytest.approx(got["price"]),
        "amount": pytest.approx(got["amount"]),
    } == {
        **case["event"],
        "event_time": instant,
        "properties": [*case["event"]["properties"].items()],
    }


def test_the_attributes_that_a_mapping_reads_must_be_there(spark, settings, capsys, monkeypatch):
    """A category that is silently missing everywhere would be worse than no night."""
    case = CASES["retailrocket"]
    monkeypatch.setenv("NIGHTSHIFT__SOURCE", "retailrocket")
    mapping = PROJECT / "configs" / "sources" / "retailrocket.yaml"
    values = {**yaml.safe_load(mapping.read_text()), "about": "a copy"}
    copy = settings.file.with_name("sources") / mapping.name
    copy.parent.mkdir()
    copy.write_text(yaml.safe_dump(values))
    monkeypatch.setenv("NIGHTSHIFT__INGEST__MAX_BAD_FRACTION", "0.9")
    written(settings.raw_folder / f"ingest_date={case['day']}", case["files"])
    code, said = run(settings, case["day"], capsys)

    assert code == 3
    assert said["message"] == (
        f"{settings.raw_folder}/item_properties*.csv: found no such file, "
        "expected what `item_attributes` of the mapping reads. "
        f"Put it into the raw folder, or correct `files` in {copy}."
    )
