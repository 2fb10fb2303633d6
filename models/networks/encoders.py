"""The encoder of a configuration.

An encoder maps tokens (B, T, D), is_query (B, T) and lengths (B,) to states (B, T, D). All promise:
a later token never changes an earlier state, a query sees every instant before it, nothing sees a
query, padding and the other users of the batch change nothing.

Asked for the state of each user's last token alone, a query after all its instants, `latest` gives
what the whole would have given there, for less.
"""

from models.config import CNNConfig, EncoderConfig, GRUConfig, LSTMConfig, TransformerConfig
from models.networks.cnn import CNNEncoder
from models.networks.gru import GRUEncoder
from models.networks.lstm import LSTMEncoder
from models.networks.transformer import TransformerEncoder

Encoder = LSTMEncoder | GRUEncoder | CNNEncoder | TransformerEncoder


def build_encoder(config: EncoderConfig) -> Encoder:
    match config:
        case LSTMConfig():
            return LSTMEncoder(config)
        case GRUConfig():
            return GRUEncoder(config)
        case CNNConfig():
            return CNNEncoder(config)
        case TransformerConfig():
            return TransformerEncoder(config)
