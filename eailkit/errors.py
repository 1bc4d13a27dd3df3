"""The errors that a user can cause, all under `EailkitError`.

Each message is one sentence that names the file or argument, what was found, what was expected and
what to do. The command line prints that sentence alone and exits with 2; nothing that was finished is lost.
"""


class EailkitError(Exception):
    """Base of every error that wrong input can raise; its message is one sentence for the user."""


class RecordingError(EailkitError):
    """An IMU stream, a trajectory or a take can't be used as it is."""


class MapError(EailkitError):
    """A point cloud or the square laid on it can't be used as it is."""


class DatasetError(EailkitError):
    """A dataset folder is missing something, is of another version, or can't be written."""


class CheckpointError(EailkitError):
    """Weights are missing, truncated, or belong to another model."""


class ConfigError(EailkitError):
    """An option has an impossible value."""


class OutputError(EailkitError, OSError):
    """A file can't be written where it was asked for."""
