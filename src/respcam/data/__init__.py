"""Tables of recordings, tasks, splits and patches."""
