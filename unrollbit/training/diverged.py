"""The error of a training run that left the finite numbers."""


class TrainingDiverged(RuntimeError):
    """The loss became infinite or NaN; the network holds the last finite state."""
