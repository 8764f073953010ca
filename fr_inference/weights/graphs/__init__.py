"""Networks that come as a graph of operators (ONNX), as differentiable functions."""
