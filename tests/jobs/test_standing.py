"""What stands where in the warehouse, whatever the database."""

import pytest

from contracts.errors import AuditError
from jobs.doctor import examine, look_at_warehouse
from jobs.running.settings import FileWarehouse, PostgresWarehouse, Settings
from jobs.standing import Standing
from jobs.status import read_status

from .warehouse.one_night import TUESDAY, WEDNESDAY, open_at, publication, publish, refuse


@pytest.fixture
def deployment(settings: Settings, warehouse_uri: str) -> Settings:
    """Settings whose warehouse is a new one of each kind."""
    chosen: FileWarehouse | PostgresWarehouse
    if "://" in warehouse_uri:
        chosen = PostgresWarehouse(uri=warehouse_uri, keep_nights=9, reader_role="reader")
    else:
        chosen = FileWarehouse(uri=warehouse_uri, keep_nights=9)
    return settings.model_copy(update={"warehouse": chosen})


def test_only_what_was_published_stands(deployment, warehouse_uri):
    """Before the first night there is nothing, and a refused night is not there either."""
    empty = Standing(deployment).published()
    warehouse = open_at(warehouse_uri)
    publish(warehouse, TUESDAY)
    with pytest.raises(AuditError):
        warehouse.publish(publication(WEDNESDAY, "run-2"), check=refuse)
    standing = Standing(deployment)

    assert empty == {}
    assert standing.published()["user_scores"] == [str(TUESDAY)]
    assert standing.has_published(TUESDAY)
    assert not standing.has_published(WEDNESDAY)


def test_the_doctor_asks_the_warehouse(deployment, warehouse_uri):
    """It says where the warehouse is, and whether anything is in it."""
    before = look_at_warehouse(deployment)
    publish(open_at(warehouse_uri), TUESDAY)
    after = look_at_warehouse(deployment)

    assert (before.is_well, before.found) == (True, f"{warehouse_uri} is empty yet")
    assert (after.is_well, after.found) == (True, f"{warehouse_uri} answers")


def test_the_doctor_names_a_server_that_does_not_answer(settings):
    """Not well, with the reason and what to do."""
    uri = "postgresql://ann:secret@127.0.0.1:9/warehouse"
    chosen = PostgresWarehouse(uri=uri, keep_nights=9, reader_role="reader")
    finding = look_at_warehouse(settings.model_copy(update={"warehouse": chosen}))

    assert not finding.is_well
    assert finding.do == "Start it, or correct warehouse.uri."
    assert "secret" not in finding.found


def test_doctor_and_status_only_look(settings, monkeypatch):
    """Of a deployment that is not made yet they make nothing: no file, folder or database."""
    monkeypatch.setenv("NIGHTSHIFT_CONFIG", str(settings.file))
    before = sorted(settings.home.rglob("*"))
    _, findings = examine(settings)
    status = read_status(settings)

    assert sorted(settings.home.rglob("*")) == before
    assert findings["catalog"].endswith(" is not made yet")
    assert findings["MLflow"].endswith(" is not made yet")
    assert status["events"] == "nothing yet"
    assert status["champion"] == "none: nothing was promoted yet"
