"""Results on disk and work for several processes."""
