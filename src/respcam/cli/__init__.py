"""Commands: arguments and configuration in, one answer or one line of refusal out."""
