"""Candidate, champion and baselines on the same matured cutoffs, and the rule."""
