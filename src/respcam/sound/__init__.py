"""Waveforms: reading, resampling, log-mel frames, made-up sounds."""
