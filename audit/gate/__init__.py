"""The gate: rules of a policy, waivers, and the outcome."""
