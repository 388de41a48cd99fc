"""Writing music: sampling, decoding, conditions, prompts, infilling, interpolation."""
