"""Evidence on heat, and the verdict."""
