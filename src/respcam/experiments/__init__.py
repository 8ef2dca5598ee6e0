"""Experiments: comparison, records, repetition and tracking of many runs."""
