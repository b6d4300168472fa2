"""What the team can measure: expert tools with typed arguments and typed results."""
