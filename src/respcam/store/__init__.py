"""Results on disk, and work in several processes."""
