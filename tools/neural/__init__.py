"""Tools that answer with weights a person names: prompted segmentation, zero-shot findings, heads of one's own."""
