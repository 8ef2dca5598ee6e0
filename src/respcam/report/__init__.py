"""Report: pages and figures of runs and comparisons."""
