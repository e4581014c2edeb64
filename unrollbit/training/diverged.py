"""The error of a training run that left the finite numbers."""


class TrainingDiverged(RuntimeError):
    """The loss became infinite or NaN; the network holds the last finite state."""

    exit_code = 1  # of the command line
    everywhere = True  # all processes of a run see the same losses
