"""The errors that this package raises.

ImagenError
├── SpecError      a model's description is wrong
├── WeightsError   a weights file is missing, damaged or of another kind
├── ImageError     a picture cannot be read, is of a kind not handled, or cannot be written
├── VideoError     a video cannot be read, is of a kind not handled, or cannot be written
├── BackendError   a backend, device or precision is unknown or not available here
│   └── OperationError  a backend has no kernel for one of the network's operations
├── TilingError    a tile or overlap size cannot work
├── TrainingError  a training configuration or checkpoint cannot be used
├── ExportError    a model cannot be exported as asked, or the result is not accurate
└── BenchmarkError a measurement, or an earlier one's record, cannot be used

Every message says what was wrong, what was expected and, where it helps, what to do.

ImageWarning is no error: a picture was read or written, without something that came with it.
"""


class ImagenError(Exception):
    """Base of every error that imagen-fast raises on purpose."""


class SpecError(ImagenError, ValueError):
    """A model's description is wrong."""


class WeightsError(ImagenError):
    """A weights file is missing, damaged or of another kind."""


class ImageError(ImagenError):
    """A picture cannot be read, is of a kind not handled, or cannot be written."""


class VideoError(ImagenError):
    """A video cannot be read, is of a kind not handled, or cannot be written."""


class BackendError(ImagenError):
    """A backend, device or precision is unknown or not available here."""


class OperationError(BackendError):
    """A backend has no kernel for one of the network's operations, which it names."""


class TilingError(ImagenError, ValueError):
    """A tile or overlap size cannot work."""


class TrainingError(ImagenError):
    """A training configuration or checkpoint cannot be used."""


class ExportError(ImagenError):
    """A model cannot be exported as asked, or the result is not accurate."""


class BenchmarkError(ImagenError):
    """A measurement, or an earlier one's record, cannot be used."""


class ImageWarning(UserWarning):
    """No error: a picture was read or written, but something of it was changed or left out."""
