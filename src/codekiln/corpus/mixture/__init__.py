"""How much of what goes into training: shares, caps and repetitions."""
