"""Models out of this project: ONNX, TensorRT and engine bundles."""

if __name__ != "imagen_fast.export":
    raise ImportError(
        "this folder is the package imagen_fast.export; install the project "
        "(pip install -e .) and write: import imagen_fast.export"
    )
