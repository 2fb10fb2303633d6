"""The report of a night: its sections and plots."""
