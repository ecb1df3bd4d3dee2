"""Java, Maven, and the jars that a cluster is made of."""

from __future__ import annotations

import hashlib
import pathlib
import re
import shutil
import subprocess

_HERE = pathlib.Path(__file__).parent
_BUILD = _HERE.parents[1] / "build" / "cluster"
_COPY = "org.apache.maven.plugins:maven-dependency-plugin:3.6.1:copy-dependencies"
_VERSIONS = (11, 17)
# Less to compile and fewer threads: these processes live for minutes and do little.
_SHORT_LIVED = ("-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-XX:ActiveProcessorCount=2")
# Flink 1.19, Spark 3.5 and the serialisers in them look into Java's own packages.
_OPENED = (
    "java.lang java.lang.invoke java.lang.reflect java.io java.net java.nio java.text java.time "
    "java.util java.util.concurrent java.util.concurrent.atomic java.util.concurrent.locks "
    "sun.nio.ch sun.nio.cs sun.security.action sun.util.calendar"
)


def missing() -> str | None:
    """What a cluster needs and this machine lacks, None if it has all."""
    absent = [name for name in ("java", "mvn") if shutil.which(name) is None]
    if absent:
        return f"needs Java 17 and Maven (no {' and no '.join(absent)} here)"
    text = subprocess.run(["java", "-version"], capture_output=True, text=True, check=False).stderr
    found = re.search(r'version "(\d+)', text)
    if found is None or int(found[1]) not in _VERSIONS:
        return f"needs Java 17 or 11 (here: {text.splitlines()[0] if text else 'unknown'})"
    return None


def jars(name: str) -> pathlib.Path:
    """The directory with the jars of `jars/<name>.xml`, downloaded if they are not there yet."""
    project = _HERE / "jars" / f"{name}.xml"
    digest = hashlib.sha256(project.read_bytes()).hexdigest()[:12]
    directory = _BUILD / f"{name}-{digest}"
    if not directory.is_dir():
        part = directory.with_suffix(".part")
        shutil.rmtree(part, ignore_errors=True)
        command = ["mvn", "--quiet", "--batch-mode", f"--file={project}", _COPY]
        subprocess.run([*command, f"-DoutputDirectory={part}"], check=True, timeout=900)
        part.rename(directory)
    return directory


def command(class_path: str, main: str, *arguments: object, options: tuple[str, ...] = ()) -> list:
    """A command line that runs a class."""
    return ["java", *opens(), *_SHORT_LIVED, *options, "-cp", class_path, main, *arguments]


def opens() -> list[str]:
    """The options that open Java's own packages."""
    return [
        "--add-exports=java.base/sun.net.util=ALL-UNNAMED",
        *(f"--add-opens=java.base/{package}=ALL-UNNAMED" for package in _OPENED.split()),
    ]
