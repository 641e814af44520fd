"""Where everything lies, relative to the project. For `__main__` files only: everything else takes paths."""

from pathlib import Path

PARAMS_CHECKED = Path("data/params_checked.json")
RECORDINGS = Path("data/recordings")
INDEX = Path("data/index.csv")
LABELS = Path("data/labels.json")
HEARING = Path("data/hearing.json")
PULL_REPORT = Path("data/pull_report.json")
SPLITS = Path("data/splits.csv")
SPLIT_REPORT = Path("data/split_report.json")
AUGMENTED = Path("data/augmented")
FEATURES = Path("data/features")
TEACHER = Path("data/teacher")
BASELINE = Path("models/baseline")
SWEEP = Path("models/sweep")
EVALUATION = Path("models/evaluation")
SELECTED = Path("models/selected")
REPORT = Path("models/report.html")
PUSHED = Path("models/push.json")
WHEELS = Path("models/wheels")
HEARD = Path("models/heard.json")
MLRUNS = Path("mlruns")
