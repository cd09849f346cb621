#!/usr/bin/env python3
"""Writes docs/configuration.md from config.default.toml.

    python3 docs/generate.py            writes it
    python3 docs/generate.py --check    says whether it is up to date (exit 1 if not)

tomllib throws comments away, and the comments are the reasons, so the lines
are read here. The file is our own and plain: one setting a line.
"""

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SOURCE = ROOT / "config.default.toml"
TARGET = ROOT / "docs" / "configuration.md"

HEAD = """\
# Configuration

Made from `config.default.toml` by `python3 docs/generate.py`: change that file, not this one. `teawire config defaults` prints it.

A setting comes from, the later the stronger: the defaults, a file (`--config FILE` or `TEAWIRE_CONFIG`), the environment, a flag
(`--listen`, `--ops-listen`, `--database-url`). Lists are written with commas in the environment. A setting that nobody knows, or with
a value of no use, stops the start and is named; `teawire config check` says so beforehand.

```toml
# teawire.toml
listen = "127.0.0.1:8080"

[http]
trusted_proxies = ["127.0.0.1"]
```

Not settings, but read from the environment: `RUST_LOG` (what is logged: `info`, `teawire=debug`), and by the commands that call a
service, `TEAWIRE_URL` and `TEAWIRE_TOKEN`.
"""


def settings(text):
    """Yields (section, key, default, reason) in the order of the file."""
    section, reason, fresh = "", [], False
    for number, line in enumerate(text.splitlines(), 1):
        line = line.strip()
        if not line:
            reason, fresh = [], False
        elif line.startswith("#"):
            # A comment behind a setting is about the next one.
            reason = reason + [line[1:].strip()] if fresh else [line[1:].strip()]
            fresh = True
        elif line.startswith("["):
            section, reason, fresh = line.strip("[]"), [], False
        elif " = " in line:
            key, default = line.split(" = ", 1)
            yield section, key, default, " ".join(reason)
            # Settings that follow each other without a comment share the one above.
            fresh = False
        else:
            sys.exit(f"{SOURCE.name}:{number} is not understood: {line}")


def page(text):
    out, last = [HEAD], None
    for section, key, default, reason in settings(text):
        if section != last:
            out.append(f"\n## {'[' + section + ']' if section else 'At the top'}\n\n")
            out.append("| key | environment | default | what for |\n| --- | --- | --- | --- |\n")
            last = section
        path = [part.upper() for part in (section, key) if part]
        shown = "empty" if default in ('""', "[]") else f"`{default.strip(chr(34))}`"
        reason = reason.replace("|", "\\|")
        out.append(f"| `{key}` | `TEAWIRE_{'__'.join(path)}` | {shown} | {reason} |\n")
    return "".join(out)


def main():
    made = page(SOURCE.read_text(encoding="utf-8"))
    if "--check" in sys.argv[1:]:
        if not TARGET.exists() or TARGET.read_text(encoding="utf-8") != made:
            sys.exit("docs/configuration.md is not up to date: python3 docs/generate.py")
        return
    TARGET.write_text(made, encoding="utf-8")


main()
