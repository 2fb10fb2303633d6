"""What a network reads and what it is asked: histories, features, labels, batches."""
