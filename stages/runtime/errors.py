"""The mistake a person at the device can make."""


class RuntimeInputError(ValueError):
    """A file, a recording or a release is not what it should be; the message is one sentence that says what to do."""
