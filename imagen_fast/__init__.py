"""A fast inference engine for image-to-image generators."""

from imagen_fast._version import __version__

__all__ = ["__version__"]
