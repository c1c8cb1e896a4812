"""What else than torch can run a model on a CPU, in float32.

Each takes the model as an ONNX graph, or as it is, and is compared with it before it is used
(``auditor.engine.forward``). Static shapes are what makes them fast: on EfficientNet-B0 a graph
with a batch of any size takes a quarter more time.
"""
