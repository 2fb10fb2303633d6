"""Where the lake's tables are, and how they are committed, read back and swept."""
