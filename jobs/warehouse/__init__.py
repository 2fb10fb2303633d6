"""The SQL tables that the business reads: their rows, their audit, their switch."""
