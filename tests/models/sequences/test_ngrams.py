"""Words as hashed n-grams: the same numbers for ever, and nothing at all where nothing is said."""

import subprocess
import sys
from dataclasses import replace
from datetime import date
from itertools import pairwise

import numpy as np
import pyarrow as pa
import pytest
import torch

from models.config import LSTMConfig
from models.networks.network import Network
from models.sequences.batch import BatchBuilder
from models.sequences.history import Histories
from models.sequences.ngrams import MOST, Texts, hashed, ngrams
from models.sequences.vocabulary import Encoder, Vocabulary

pytestmark = pytest.mark.torch

EVENTS = [
    ("u", "2017-03-01T10:00:00", "apple", 1.0),
    ("u", "2017-03-01T10:00:00", "bread", 2.0),
    ("u", "2017-03-05T11:00:00", "apple", 1.0),
    ("v", "2017-03-02T09:00:00", "bread", 2.0),
]
TEXTS = [["red", "", "a red shoe"], None]
DAY = np.full(2, date(2017, 4, 1).toordinal())
BOTH = np.arange(2, dtype=np.int64)


def histories(sequences, texts=TEXTS) -> Histories:
    rows = sequences(EVENTS)
    place = rows.schema.get_field_index("texts")
    said = pa.array(texts, pa.list_(pa.string()))
    return Histories.from_arrow(rows.set_column(place, rows.schema.field(place), said))


def built(log: Histories, zone, *, text_buckets: int):
    vocabulary = Vocabulary.of(log, min_item_count=1, text_buckets=text_buckets)
    builder = BatchBuilder(log, Encoder(vocabulary), max_length=8, zone=zone)
    return builder.build(BOTH, BOTH, DAY)[0], vocabulary


def test_a_word_is_itself_and_its_runs_of_letters():
    """With its ends marked, in whatever case; words of two letters have runs too."""
    assert ngrams("Shoe, it!") == [
        *("<shoe>", "<sh", "sho", "hoe", "oe>", "<sho", "shoe", "hoe>", "<shoe", "shoe>"),
        *("<it>", "<it", "it>"),
    ]
    assert ngrams(" .,! ") == []


def test_a_number_is_the_same_in_every_process_and_version():
    """Weights that were learnt for it are read back years later, on another machine."""
    program = "from models.sequences.ngrams import hashed; print(hashed('Käse 3,5 %', 16384))"
    said = subprocess.run(
        [sys.executable, "-c", program],
        env={"PYTHONHASHSEED": "7"},
        check=True,
        capture_output=True,
        text=True,
    ).stdout

    assert hashed("Käse 3,5 %", 16384)[:6] == [10200, 8120, 7788, 5290, 3410, 9194]
    assert said.strip() == str(hashed("Käse 3,5 %", 16384))


def test_a_long_text_is_read_at_its_beginning():
    """A review of a thousand words takes no more time than one of a few dozen."""
    text = " ".join(f"word{n}" for n in range(1000))

    assert ngrams(text) == ngrams(text + " more")
    assert len(ngrams(text)) == MOST


def test_the_words_of_an_instant_are_pooled(sequences, zone):
    """Those of both lines of the basket; who says nothing has none, in the same batch."""
    batch, _ = built(histories(sequences), zone, text_buckets=64)
    ends = [*batch.ngram_offsets.tolist(), len(batch.event_ngrams)]
    parts = [batch.event_ngrams[a:b].tolist() for a, b in pairwise(ends)]

    assert parts == [hashed("red", 64), hashed("a red shoe", 64), []]


def test_words_of_an_unknown_text_are_those_of_the_known(sequences, zone):
    """What was never trained on shares its letters with what was: nothing is looked up."""
    known = Texts.of(np.asarray(["", "red shoes"], dtype=object), 64)
    alone = Texts.of(np.asarray(["red shoes"], dtype=object), 64)

    assert known.ngrams.tolist() == alone.ngrams.tolist()
    assert known.starts.tolist() == [0, 0, len(alone.ngrams)]


@pytest.mark.parametrize("texts", [[None, None], [["", "", ""], None]])
def test_a_log_without_a_text_has_no_table_and_no_number(sequences, zone, texts):
    """Not a weight more, whatever the configuration says."""
    config = LSTMConfig(max_length=8, dim=8, num_layers=1, dropout=0.0)
    batch, vocabulary = built(histories(sequences, texts), zone, text_buckets=64)
    network = Network(config, vocabulary)

    assert vocabulary.text_buckets == 0
    assert not len(batch.event_ngrams)
    assert not [name for name in network.state_dict() if name.startswith("texts")]


def test_a_text_is_added_to_its_instant_alone(sequences, zone):
    """An instant without words is what it is where nobody has any."""
    config = LSTMConfig(max_length=8, dim=8, num_layers=1, dropout=0.0)
    log = histories(sequences)
    batch, vocabulary = built(log, zone, text_buckets=64)
    torch.manual_seed(0)
    network = Network(config, vocabulary)
    empty = replace(
        batch, event_ngrams=batch.event_ngrams[:0], ngram_offsets=torch.zeros(3, dtype=torch.long)
    )

    with torch.no_grad():
        moved = network.embed_instants(batch) - network.embed_instants(empty)
        said = network.texts.weight[hashed("red", 64)].mean(dim=0)

    torch.testing.assert_close(moved[0], said)
    assert moved[2].abs().max() == 0.0
