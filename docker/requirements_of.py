"""Print what one extra of a pyproject.toml asks for, a line each: an image needs no more than that.

python requirements_of.py pyproject.toml airflow
"""

import sys
import tomllib
from pathlib import Path

file, extra = sys.argv[1:]
project = tomllib.loads(Path(file).read_text())["project"]
print("\n".join(project["optional-dependencies"][extra]))
