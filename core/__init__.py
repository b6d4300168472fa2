"""What every layer may import: the case, the evidence, the report, the journal, the errors."""
