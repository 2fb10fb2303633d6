"""The configuration of a training: frozen, typed, checked once.

A setting that would have no effect cannot be written: an LSTM has no ``num_heads``, a full softmax
no ``num_negatives``. Raises ConfigError or UnknownKeyError, with the file and the key.
"""

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

from pydantic import (
    Field,
    NonNegativeFloat,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    ValidationError,
    field_validator,
    model_validator,
)

from contracts.errors import ConfigError, UnknownKeyError
from contracts.money import Money
from models.configuration import Section, first_error, known_keys, read_mapping


class Config(Section):
    pass


class _ClashError(ValueError):
    """Two settings, each sound alone, that do not go together."""

    def __init__(self, *, found: str, expected: str) -> None:
        super().__init__(f"found {found}, expected {expected}")
        self.found, self.expected = found, expected


class LabelHorizons(Config):
    """What labels are: lengths of their windows, in days, and what counts as spend in them.

    The values live in `configs/nightshift.yaml`.
    """

    money: Money  # contracts/money.py; features count spend in the same way
    purchase_days: PositiveInt
    churn_days: PositiveInt
    churn_active_days: PositiveInt  # churn is asked of users active in these days before
    spend_days: PositiveInt
    items_days: PositiveInt

    @property
    def longest_days(self) -> int:
        return max(self.purchase_days, self.churn_days, self.spend_days, self.items_days)


# ---- encoders ------------------------------------------------------------------------------------


class _EncoderConfig(Config):
    max_length: PositiveInt  # latest instants of a user that the encoder reads
    dim: PositiveInt  # width of a state
    num_layers: PositiveInt
    dropout: Annotated[float, Field(ge=0.0, lt=1.0)]


class LSTMConfig(_EncoderConfig):
    kind: Literal["lstm"] = "lstm"


class GRUConfig(_EncoderConfig):
    kind: Literal["gru"] = "gru"


class CNNConfig(_EncoderConfig):
    kind: Literal["cnn"] = "cnn"
    kernel_size: Annotated[int, Field(ge=2)]  # instants that a convolution reads


class TransformerConfig(_EncoderConfig):
    kind: Literal["transformer"] = "transformer"
    num_heads: PositiveInt
    expansion: PositiveInt = 4  # width of the feed-forward layers, in dims; SASRec's own are 1

    @model_validator(mode="after")
    def _heads_share_dim_evenly(self) -> "TransformerConfig":
        if self.dim % self.num_heads:
            raise _ClashError(
                found=f"dim {self.dim} and num_heads {self.num_heads}",
                expected="a dim that num_heads divides",
            )
        return self


EncoderConfig = Annotated[
    LSTMConfig | GRUConfig | CNNConfig | TransformerConfig, Field(discriminator="kind")
]

# ---- losses --------------------------------------------------------------------------------------


class FullSoftmax(Config):
    kind: Literal["full"] = "full"


class SampledSoftmax(Config):
    kind: Literal["sampled"] = "sampled"
    num_negatives: PositiveInt  # items drawn for a batch, shared by all of its events
    # An item is drawn in proportion to its count to this power: 0 is uniform, 1 as it is seen;
    # 0.75 is word2vec's, https://arxiv.org/abs/1310.4546
    sampling_power: Annotated[float, Field(ge=0.0, le=1.0)] = 0.75


class InBatch(Config):
    """The targets of a batch are one another's negatives: there is no number of them to choose."""


class InBatchSoftmax(InBatch):
    kind: Literal["in_batch"] = "in_batch"


class GBCE(Config):
    kind: Literal["gbce"] = "gbce"
    num_negatives: PositiveInt  # items drawn uniformly for a batch, shared by all of its events
    calibration: Annotated[float, Field(ge=0.0, le=1.0)]  # 0 is plain BCE, 1 a softmax's scores


class InBatchGBCE(InBatch):
    kind: Literal["in_batch_gbce"] = "in_batch_gbce"
    calibration: Annotated[float, Field(ge=0.0, le=1.0)]  # as in `GBCE`


NextItemLoss = Annotated[
    FullSoftmax | SampledSoftmax | InBatchSoftmax | GBCE | InBatchGBCE, Field(discriminator="kind")
]


class CrossEntropy(Config):
    kind: Literal["cross_entropy"] = "cross_entropy"


class ClassWeight(Config):
    """A positive counts so many times a negative: where few users buy, or few leave."""

    kind: Literal["class_weight"] = "class_weight"
    positive: PositiveFloat

    @field_validator("positive")
    @classmethod
    def _has_an_effect(cls, positive: float) -> float:
        if positive == 1.0:
            raise _ClashError(found="1.0", expected="a weight other than 1, or kind cross_entropy")
        return positive


class Focal(Config):
    """Rows that are answered well count less: https://arxiv.org/abs/1708.02002"""

    kind: Literal["focal"] = "focal"
    gamma: PositiveFloat  # at 0 it would be the cross entropy


BinaryLoss = Annotated[CrossEntropy | ClassWeight | Focal, Field(discriminator="kind")]


class LossWeights(Config):
    """How much each head counts in the loss that is minimised; none without effect."""

    next_item: PositiveFloat
    items: PositiveFloat
    purchase: PositiveFloat
    churn: PositiveFloat
    spend: PositiveFloat
    next_event_type: PositiveFloat = 0.1  # where the log has several; else there is no such head


# ---- a training ----------------------------------------------------------------------------------


class _TrainingConfig(Config):
    encoder: EncoderConfig
    next_item_loss: NextItemLoss
    min_item_count: PositiveInt  # events an item needs to enter the catalogue
    batch_size: PositiveInt  # users in a batch, on each device
    epochs: PositiveInt
    max_minutes: PositiveFloat  # training stops after the epoch that exceeds it
    learning_rate: PositiveFloat
    weight_decay: NonNegativeFloat
    seed: NonNegativeInt


class NextItemConfig(_TrainingConfig):
    """A training of the next-item head alone: no query is asked, no label needed."""


class TrainConfig(_TrainingConfig):
    """A training of every head."""

    loss_weights: LossWeights
    purchase_loss: BinaryLoss = CrossEntropy()
    churn_loss: BinaryLoss = CrossEntropy()
    num_queries: PositiveInt  # as-of queries drawn for a user in an epoch
    num_ranked_queries: PositiveInt  # how many of them also rank the catalogue
    text_buckets: PositiveInt = 16_384  # that n-grams are hashed into, where events have texts
    warmup_days: NonNegativeInt  # no query earlier than this after the log's first day
    shard_events: PositiveInt = 2_000_000  # in memory at once, on each device: some 250 bytes each
    validation_users: PositiveInt = 50_000  # about so many are asked, of however many there are

    @model_validator(mode="after")
    def _ranked_queries_are_queries(self) -> "TrainConfig":
        if self.num_ranked_queries > self.num_queries:
            raise _ClashError(
                found=f"num_ranked_queries {self.num_ranked_queries} of num_queries "
                f"{self.num_queries}",
                expected="at most as many",
            )
        return self


class DemandConfig(Config):
    """A training of the demand network; its encoder's instants are weeks."""

    encoder: EncoderConfig
    num_steps: PositiveInt  # batches
    batch_size: PositiveInt  # windows of a series in a batch
    category_share: Annotated[float, Field(ge=0.0, le=1.0)]  # of the windows, the others are items'
    # A series is drawn in proportion to its units to this power: 0 is uniform, 1 as it sells
    level_power: Annotated[float, Field(ge=0.0, le=1.0)]
    learning_rate: PositiveFloat
    weight_decay: NonNegativeFloat
    seed: NonNegativeInt


AnyTraining = TypeVar("AnyTraining", NextItemConfig, TrainConfig, DemandConfig)


def load_train_config(path: Path, **overrides: Any) -> TrainConfig:
    """Read a YAML file; ``overrides`` that are not None replace its top-level keys.

    An override is what a flag of its name said, and is blamed as that.
    """
    return _load(TrainConfig, path, overrides)


def load_next_item_config(path: Path, **overrides: Any) -> NextItemConfig:
    """As `load_train_config`, for the next-item head alone."""
    return _load(NextItemConfig, path, overrides)


def load_demand_config(path: Path, **overrides: Any) -> DemandConfig:
    """As `load_train_config`, for the demand network."""
    return _load(DemandConfig, path, overrides)


def _load(kind: type[AnyTraining], path: Path, overrides: Mapping[str, Any]) -> AnyTraining:
    others = ", ".join(sorted(file.stem for file in path.parent.glob("*.yaml")))
    values = read_mapping(
        path, expected="the configuration of a training", do=f"Choose one of {others}."
    )
    given = {key: value for key, value in overrides.items() if value is not None}
    try:
        return kind.model_validate({**values, **given})
    except ValidationError as error:
        raise _config_error(kind, path, error, flags=given) from None


def _config_error(
    kind: type[Config], path: Path, error: ValidationError, *, flags: Collection[str]
) -> ConfigError:
    first = first_error(error)
    key = _key(kind, first["loc"])
    if first["type"] == "extra_forbidden":
        key = ".".join([*filter(None, [key]), str(first["loc"][-1])])
        return UnknownKeyError(str(path), key=key, known=known_keys(kind, first["loc"]))
    clash = first.get("ctx", {}).get("error")
    if isinstance(clash, _ClashError):
        where = f"{path}: {key}" if key else str(path)
        return ConfigError(
            where, found=clash.found, expected=clash.expected, do="Correct one of them."
        )
    return ConfigError(
        f"--{key.replace('_', '-')}" if key in flags else f"{path}: {key}",
        found="nothing" if first["type"] == "missing" else repr(first["input"]),
        expected=first["msg"][0].lower() + first["msg"][1:],
        do="Correct the value.",
    )


def _key(kind: type[Config], location: tuple[int | str, ...]) -> str:
    """The keys of the file; the kind that pydantic puts between them is no key of a file."""
    return ".".join(
        str(part)
        for place, part in enumerate(location, start=1)
        if part in known_keys(kind, location[:place])
    )
