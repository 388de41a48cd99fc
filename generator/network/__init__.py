"""The network: Transformer, compiled decoding steps, checkpoints, adapters, what it learned."""
