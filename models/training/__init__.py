"""Fitting a network: configuration, losses, the loop, validation, calibration."""
