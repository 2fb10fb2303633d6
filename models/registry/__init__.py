"""Versions in MLflow: saved without code, loaded, asked, served."""
