"""Evidence for or against heat, and the verdict."""
