"""Computes networks in files with a graph of operators (ONNX), as differentiable functions."""
