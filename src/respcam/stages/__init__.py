"""Stages: folders, files, digests and progress around the core."""
