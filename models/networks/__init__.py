"""One encoder, many heads; nothing here knows of training."""
