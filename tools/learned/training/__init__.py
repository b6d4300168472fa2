"""Recipes that train the networks of the learned tools, and what they share. Only these files know torch and onnx."""
