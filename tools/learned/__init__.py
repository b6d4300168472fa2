"""Small networks trained by recipes of this repository, shipped as ONNX with a card each, and the tools they serve."""
