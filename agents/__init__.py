"""Who reasons: triage, specialists, attending and verification, wired by LangGraph."""
