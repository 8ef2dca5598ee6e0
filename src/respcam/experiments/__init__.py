"""What is about many runs: comparison, records, repetition, tracking."""
