# SPDX-FileCopyrightText: FlowShield contributors
# SPDX-License-Identifier: Apache-2.0

"""Known answers, each with its source."""

import json
from pathlib import Path
from typing import Any


def load(name: str) -> Any:
    """The vectors of ``NAME.json``."""
    return json.loads(Path(__file__).with_name(f"{name}.json").read_text())
