"""Bundle the selected variant and bring it to every device in `params.yaml`."""

import tempfile
from pathlib import Path

from stages.core import errors, files, layout, params
from stages.push import bundle, rollout
from stages.push.params import PushParams, devices


def main() -> None:
    """Run the stage; every device is tried before a failing one ends it."""
    push = params.section("push", PushParams)
    pushed, failed = [], []
    with tempfile.TemporaryDirectory() as temporary:
        release = Path(temporary) / "bundle"
        golden = bundle.choose_golden(layout.FEATURES, push.golden_recordings)
        bundle.build(release, selected=layout.SELECTED, features=layout.FEATURES, golden=golden)
        for device in devices(push):
            transport = device.module.connect(device.config, device.name)
            try:
                delivery = rollout.deliver(transport, release, keep=push.keep_releases)
            except errors.DeviceError as error:
                failed.append(device.name)
                print(f"{device.name}: FAILED. {error}")
                continue
            print(f"{device.name}: release {delivery.release} {'installed' if delivery.installed else 'already there'}")
            pushed.append(
                {
                    "name": device.name,
                    "transport": device.transport,
                    "release": delivery.release,
                    "model_sha256": delivery.model_sha256,
                    "max_difference": round(delivery.max_difference, 4),
                }
            )
    if failed:
        raise errors.DeviceError(f"{', '.join(failed)} did not take the release, see above. Mend, then push again.")
    files.write_json(layout.PUSHED, pushed)


if __name__ == "__main__":
    errors.run(main)
