"""The network: one encoder, many heads. It knows nothing of training.

B batch, T tokens of the longest sequence, D dim, I instants, Q queries, R of which rank items,
F features, V items of the catalogue and Y event types, each with the unknown one (index 0).
"""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from models.config import EncoderConfig
from models.networks.dropout import Dropout
from models.networks.encoders import build_encoder
from models.networks.heads import MAX_LOG_MEAN, CopyHead, ScalarHead, SpendHead, TiedHead
from models.networks.ranking import Catalogue
from models.sequences import copying
from models.sequences.batch import NUM_INSTANT_FEATURES, SequenceBatch
from models.sequences.query_features import QUERY_FEATURES, SPENT_DAYS
from models.sequences.vocabulary import Vocabulary

NUM_FEATURES = len(QUERY_FEATURES)
FOUR_WEEKS = 28  # days that spend is told of; another window is a matter of the head's weights
MAX_SPENT = 50.0  # mean spends of a user in four weeks: more is read as so much


@dataclass(frozen=True)
class QueryOutputs:
    states: Tensor  # (Q, D)
    purchase: Tensor  # (Q,) logit
    churn: Tensor  # (Q,) logit
    spend: Tensor  # (Q,) log of the mean, in units of `Network.spend_scale`
    spend_median: Tensor  # (Q,) before softplus, in the same units


class Network(nn.Module):
    item_categories: Tensor
    feature_mean: Tensor
    feature_std: Tensor
    copy_mean: Tensor
    copy_std: Tensor
    spent_columns: Tensor
    spent_days: Tensor
    spend_scale: Tensor
    item_popularity: Tensor

    def __init__(self, config: EncoderConfig, vocabulary: Vocabulary) -> None:
        super().__init__()
        dim, dropout = config.dim, config.dropout
        self.items = nn.Embedding(vocabulary.num_items + 1, dim)
        self.categories = nn.Embedding(len(vocabulary.categories) + 1, dim)
        self.event_types = nn.Embedding(len(vocabulary.event_types) + 1, dim)
        self.amounts = nn.Embedding(len(vocabulary.amount_edges) + 1, dim)
        self.quantities = nn.Embedding(len(vocabulary.quantity_edges) + 1, dim)
        for table in (self.items, *self.surroundings()):
            nn.init.normal_(table.weight, std=dim**-0.5)
        self.instant = nn.Linear(NUM_INSTANT_FEATURES, dim)
        self.query = nn.Sequential(
            nn.Linear(NUM_FEATURES, 2 * dim), nn.GELU(), nn.Linear(2 * dim, dim)
        )
        self.weekdays = nn.Embedding(7, dim)
        self.norm = nn.LayerNorm(dim)
        self.dropout = Dropout(dropout)
        self.encoder = build_encoder(config)
        self.purchase = ScalarHead(dim, NUM_FEATURES, num_outputs=1, dropout=dropout)
        self.churn = ScalarHead(dim, NUM_FEATURES, num_outputs=1, dropout=dropout)
        self.spend = SpendHead(dim, NUM_FEATURES, num_spans=len(SPENT_DAYS), dropout=dropout)
        self.has_amounts = vocabulary.has_amounts  # else spend learns nothing, and is said to be 0
        self.spend.requires_grad_(self.has_amounts)
        self.item_head = TiedHead(dim, vocabulary.num_items)
        self.copy_head = CopyHead(copying.NUM_FEATURES)
        self.event_type_head = (
            TiedHead(dim, len(vocabulary.event_types)) if vocabulary.has_event_types else None
        )
        self.texts: nn.Embedding | None = None
        if vocabulary.text_buckets:
            self.texts = nn.Embedding(vocabulary.text_buckets, dim)
            nn.init.normal_(self.texts.weight, std=dim**-0.5)
        categories = torch.tensor([0, *vocabulary.item_categories])
        self.register_buffer("item_categories", categories)  # (V,)
        self.register_buffer("feature_mean", torch.zeros(NUM_FEATURES))
        self.register_buffer("feature_std", torch.ones(NUM_FEATURES))
        self.register_buffer("copy_mean", torch.zeros(copying.NUM_FEATURES))
        self.register_buffer("copy_std", torch.ones(copying.NUM_FEATURES))
        self.register_buffer("spent_columns", torch.tensor([*SPENT_DAYS]), persistent=False)
        days = torch.tensor([*SPENT_DAYS.values()], dtype=torch.float32)
        self.register_buffer("spent_days", days, persistent=False)
        self.register_buffer("spend_scale", torch.ones(()))
        self.register_buffer("item_popularity", torch.zeros(vocabulary.num_items + 1))  # (V,)

    def surroundings(self) -> tuple[nn.Embedding, ...]:
        """What is said of an event beside its item."""
        return self.categories, self.event_types, self.amounts, self.quantities

    def forward(self, batch: SequenceBatch) -> Tensor:
        """-> (B, T, D)"""
        states: Tensor = self.encoder(self.embed(batch), batch.is_query, batch.lengths)
        return states

    def latest(self, batch: SequenceBatch) -> QueryOutputs:
        """The business heads of users with one query each, after all their instants."""
        return self.answer(self.encoder.latest(self.embed(batch), batch.lengths), batch)

    def embed(self, batch: SequenceBatch) -> Tensor:
        """-> (B, T, D): the tokens as the encoder reads them"""
        B, T = batch.is_query.shape
        instants, queries = self.embed_instants(batch), self.embed_queries(batch)
        tokens = instants.new_zeros(B * T, instants.size(1))  # (B * T, D)
        tokens = tokens.index_copy(0, batch.instant_slots, instants)
        tokens = tokens.index_copy(0, batch.query_slots, queries.to(tokens.dtype)).view(B, T, -1)
        normed: Tensor = self.dropout(self.norm(tokens))  # (B, T, D)
        return normed

    def embed_instants(self, batch: SequenceBatch) -> Tensor:
        """-> (I, D): the mean of an instant's events, whose order is none, and what it was like."""
        tables = (
            (self.items, batch.event_items),
            (self.categories, batch.event_categories),
            (self.event_types, batch.event_types),
            (self.amounts, batch.event_amounts),
            (self.quantities, batch.event_quantities),
        )
        pooled = [
            F.embedding_bag(ids, table.weight, batch.event_offsets, mode="mean")
            for table, ids in tables
        ]
        if self.texts is not None:
            words = (batch.event_ngrams, self.texts.weight, batch.ngram_offsets)
            pooled.append(F.embedding_bag(*words, mode="mean"))
        features: Tensor = self.instant(batch.instant_features)
        return torch.stack(pooled).sum(dim=0) + features

    def embed_queries(self, batch: SequenceBatch) -> Tensor:
        """-> (Q, D)"""
        asked: Tensor = self.query(self.standardised(batch))
        weekdays: Tensor = self.weekdays(batch.query_weekdays)
        return asked + weekdays

    def standardised(self, batch: SequenceBatch) -> Tensor:
        """-> (Q, F)"""
        scaled = (batch.query_features - self.feature_mean) / self.feature_std
        clamped: Tensor = scaled.clamp(-5.0, 5.0)
        return clamped

    def spent_lately(self, batch: SequenceBatch) -> Tensor:
        """-> (Q, spans) in four weeks at the pace of each span, in units of `spend_scale`"""
        logs = batch.query_features[:, self.spent_columns]
        spent = torch.sign(logs) * torch.expm1(logs.abs()) * FOUR_WEEKS / self.spent_days
        clamped: Tensor = (spent / self.spend_scale).clamp(-MAX_SPENT, MAX_SPENT)
        return clamped

    def ask(self, states: Tensor, batch: SequenceBatch) -> QueryOutputs:
        """(B, T, D) -> the business heads at every query."""
        return self.answer(states.flatten(0, 1)[batch.query_slots], batch)

    def answer(self, asked: Tensor, batch: SequenceBatch) -> QueryOutputs:
        """(Q, D) the queries' states -> the business heads"""
        features = self.standardised(batch)  # (Q, F)
        mean, median = self.spend(asked, features, self.spent_lately(batch))
        return QueryOutputs(
            states=asked,
            purchase=self.purchase(asked, features).squeeze(1),
            churn=self.churn(asked, features).squeeze(1),
            spend=mean,
            spend_median=median,
        )

    def currency(self, log_mean: Tensor) -> Tensor:
        """(Q,) the spend head's output -> (Q,) float64, expected spend before calibration"""
        amounts = torch.exp(log_mean.double().clamp(max=MAX_LOG_MEAN)) * self.spend_scale
        return amounts if self.has_amounts else torch.zeros_like(amounts)

    def median_currency(self, median: Tensor) -> Tensor:
        """(Q,) the head's other output -> (Q,) float64, what half of such users do not exceed"""
        amounts = F.softplus(median.double()) * self.spend_scale
        return amounts if self.has_amounts else torch.zeros_like(amounts)

    def item_vectors(self) -> Tensor:
        """-> (V, D): an item is itself and its category."""
        categories: Tensor = self.categories(self.item_categories)
        return self.items.weight + categories

    def catalogue(self) -> Catalogue:
        """The items as they are ranked for many batches; `wanted_items` is what ranks them."""
        return Catalogue(self.item_vectors(), self.item_head.biases())

    def wanted_items(self, states: Tensor) -> Tensor:
        """(N, D) -> (N, D): a logit is its product with an item's vector, and the item's bias."""
        wanted: Tensor = self.item_head.project(states)
        return wanted

    def next_items(self, states: Tensor) -> Tensor:
        """(N, D) -> (N, V) logits of the next instant's items"""
        logits: Tensor = self.item_head(states, self.item_vectors()).float()
        return logits

    def next_event_types(self, states: Tensor) -> Tensor:
        """(N, D) -> (N, Y) logits of the types of the next instant's events"""
        assert self.event_type_head is not None, "the log has several event types"
        logits: Tensor = self.event_type_head(states, self.event_types.weight).float()
        return logits

    def own_weights(self, batch: SequenceBatch) -> Tensor:
        """-> (C,) log weights of each user's own past items, beside the catalogue's."""
        features = (batch.copy_features - self.copy_mean) / self.copy_std
        share = batch.copy_features[:, copying.LOG_SHARE]
        own: Tensor = self.copy_head(share, features, self.item_popularity[batch.copy_items])
        return own.float()

    def item_probabilities(self, asked: Tensor, batch: SequenceBatch) -> Tensor:
        """(R, D) -> (R, V)

        An item's probability is its share of the catalogue's and of its user's own past items'
        weights together: the sum of exp of the two, over the sum of all. Index 0, the unknown
        item, has none.
        """
        logits = self.next_items(asked)  # (R, V)
        own = self.own_weights(batch)  # (C,)
        places = (batch.copy_queries, batch.copy_items)
        logits = logits.index_put(places, torch.logaddexp(logits[places], own))
        return logits.softmax(dim=1)


def build_network(config: EncoderConfig, vocabulary: Vocabulary, state: dict[str, Any]) -> Network:
    """A network with the weights of ``state``, ready to score."""
    network = Network(config, vocabulary)
    network.load_state_dict(state)
    return network.eval()
