"""What a mapping in `configs/sources` can say of a raw log."""
