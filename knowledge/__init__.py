"""What the team knows: passages, diagnostic criteria, red flags and the patient's own past."""
