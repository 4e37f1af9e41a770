"""Copies this folder for a projection of your own, outside of the repository: copy.py FOLDER

Cargo.toml gets the versions that the workspace has here, and the crates of `ees` by their paths.
"""

import shutil
import sys
import tomllib
from pathlib import Path

here, to = Path(__file__).resolve().parent, Path(sys.argv[1]).resolve()
root = here.parent.parent
workspace = tomllib.loads((root / "Cargo.toml").read_text())["workspace"]
package = tomllib.loads((here / "Cargo.toml").read_text())


def text(value):
    """A value of TOML, on one line."""
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{name} = {text(part)}" for name, part in value.items()) + " }"
    if isinstance(value, list):
        return "[" + ", ".join(map(text, value)) + "]"
    return str(value).lower() if isinstance(value, bool) else f'"{value}"'


def dependency(name, wanted):
    """A dependency with what the workspace says of it."""
    known = workspace["dependencies"][name]
    known = {"version": known} if isinstance(known, str) else dict(known)
    if "path" in known:
        known = {"path": str(root / known["path"]), **{part: known[part] for part in known if part == "default-features"}}
    features = [*known.get("features", []), *wanted.get("features", [])]
    return f"{name} = {text(known | ({'features': features} if features else {}))}"


if to.exists() and any(to.iterdir()):
    sys.exit(f"{to} is not empty")
(to / "src").mkdir(parents=True, exist_ok=True)
for source in (here / "src").glob("*.rs"):
    # The tests need packages of the repository.
    (to / "src" / source.name).write_text(source.read_text().split("#[cfg(test)]")[0].rstrip() + "\n")
shutil.copy(here / "template.yaml", to)
(to / ".gitignore").write_text("/target\n/build\n")
dependencies = "\n".join(dependency(name, wanted) for name, wanted in package["dependencies"].items())
features = "\n".join(f"{name} = {text(parts)}" for name, parts in package["features"].items())
(to / "Cargo.toml").write_text(
    f"""[package]
name = "{to.name}"
version = "0.1.0"
edition = "{workspace["package"]["edition"]}"
rust-version = "{workspace["package"]["rust-version"]}"
publish = false

[[bin]]
name = "own_projection"
path = "src/main.rs"

[features]
{features}

[dependencies]
{dependencies}

# It is no part of a workspace around it.
[workspace]
"""
)
# The same versions as here.
shutil.copy(root / "Cargo.lock", to)
print(f"{to}: change Files in src/main.rs to what you need")
