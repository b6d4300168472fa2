"""Expert tools of classical image analysis: no trained weights."""
