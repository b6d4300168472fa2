"""The default engine: no model, no GPU, no download. Rules over terms, measurements, passages and criteria."""
