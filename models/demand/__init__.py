"""Units of items and categories by day: what was sold becomes quantiles of what will be."""
