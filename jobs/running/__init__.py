"""What every program shares: settings, a Spark session, one line per run, exit codes."""
