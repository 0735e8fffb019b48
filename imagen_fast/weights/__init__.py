"""The trained weights that ship with the package: `{name}-{size}.safetensors`."""
