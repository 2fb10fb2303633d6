"""From the lines of raw files to events, and none of them lost."""
