"""Networks, their training and their use."""
