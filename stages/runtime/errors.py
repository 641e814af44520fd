"""The mistakes that a person at the device can make."""


class RuntimeInputError(ValueError):
    """A file, a recording or a release is not what it should be; the message is one sentence that says what to do."""


class ExcludedError(RuntimeInputError):
    """A recording can be read and is excluded by a rule; `kind` names the rule in a word or two."""

    def __init__(self, message: str, kind: str) -> None:
        super().__init__(message)
        self.kind = kind
