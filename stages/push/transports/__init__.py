"""One file per way to reach a device.

A transport holds
    Config : frozen dataclass
        What one entry of `push.devices` may say besides `name` and `transport`.
    connect(config, name) -> Transport
        See `stages.push.transport.Transport`; most are a `FolderTransport`, which is in the same file.
"""
