"""A user's events in one place: one shuffle of columns, then numpy."""
