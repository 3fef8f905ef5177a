"""Who takes part: how each contestant is built, and with which command it does a work. What cannot be built says why."""

import os
import shlex
import shutil
import subprocess
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
TARGET = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")).resolve()
OUT = TARGET / "peers"
HEAP_MIB = 2048
JAVA = {"java-g1": "G1", "java-parallel": "Parallel", "java-serial": "Serial", "java-shenandoah": "Shenandoah", "java-zgc": "Z"}


class Failure(Exception):
    """Something to tell the user: what is wrong and what to do."""


class Missing(Exception):
    """A contestant that cannot take part; says why, and which package has what it needs."""


class Contestant:
    """A command, and what its environment has more than ours."""

    def __init__(self, command, environment=None):
        self.command = [str(part) for part in command]
        self.environment = {**os.environ, **(environment or {})}


def need(package, *tools):
    for tool in tools:
        if not shutil.which(tool):
            raise Missing(f"{tool} is not installed: apt-get install {package}")


def make(product, source, command, cwd=None):
    if not product.exists() or product.stat().st_mtime < source.stat().st_mtime:
        done = subprocess.run(command, cwd=cwd, stderr=subprocess.PIPE, text=True)
        if done.returncode:
            raise Failure(f"{shlex.join(map(str, command))} failed:\n{done.stderr}")


# Peers. Each builder gets the name of the contestant, the work and the options.


def go(name, work, options):
    need("golang-go", "go")
    product, folder = (OUT / "go-peer", ".") if work == "mark" else (OUT / "go-programs", "programs")
    make(product, HERE / "go" / folder / "main.go", ["go", "build", "-o", product, f"./{folder}"], cwd=HERE / "go")
    if work == "mark":
        return Contestant([product, options.objects, options.collections])
    percent = name.partition("-")[2] or "100"
    return Contestant([product, work, options.depth], {"GOGC": percent})


def java(name, work, options):
    need("openjdk-17-jdk-headless", "java", "javac")
    source = "Collect" if work == "mark" else "Programs"
    make(OUT / f"{source}.class", HERE / f"{source}.java", ["javac", "-d", OUT, HERE / f"{source}.java"])
    flags = ["-cp", OUT, f"-XX:+Use{JAVA[name]}GC"]
    if subprocess.run(["java", *flags, "-version"], capture_output=True).returncode:
        raise Missing(f"this java has no {JAVA[name]} collector")
    if work != "mark":
        return Contestant(["java", *flags, f"-Xmx{HEAP_MIB}m", source, work, options.depth])
    # The young generation holds the whole graph and the table it is built from, the old one what survives; nothing is collected in between.
    young, total = options.objects * 56 // 2**20 + 32, options.objects * 100 // 2**20 + 64
    flags += [f"-Xmn{young}m", f"-Xms{total}m", f"-Xmx{total}m", "-XX:+AlwaysPreTouch", "-XX:+UseTransparentHugePages"]
    return Contestant(["java", *flags, source, name, options.objects, options.collections])


def boehm(name, work, options):
    need("gcc", "gcc")
    probe = subprocess.run(["gcc", "-E", "-x", "c", "-"], input="#include <gc.h>", capture_output=True, text=True)
    if probe.returncode:
        raise Missing("gc.h is not installed: apt-get install libgc-dev")
    product, source = (OUT / "boehm", "boehm.c") if work == "mark" else (OUT / "boehm-programs", "programs.c")
    make(product, HERE / source, ["gcc", "-O2", HERE / source, "-o", product, "-lgc"])
    if work == "mark":
        return Contestant([product, name, options.objects, options.collections])
    return Contestant([product, name, work, options.depth])


MARK_PEERS = ("go", "java-g1", "java-parallel", "java-serial", "boehm", "boehm-exact")
PROGRAM_PEERS = ("go", "go-800", *JAVA, "boehm", "boehm-exact")


def builder(name):
    return {"go": go, "java": java, "boehm": boehm}[name.partition("-")[0]]


# Ours.


def binary(options):
    """Our binary, built if nobody says where it is."""
    if options.binary:
        found = options.binary.resolve()
        if not found.exists():
            raise Failure(f"{found} is not there: build it with cargo build --release --bin goals")
        return found
    command = ["cargo", "build", "--release", "--quiet", "--bin", "goals"]
    if subprocess.run(command, cwd=ROOT).returncode:
        raise Failure(f"{shlex.join(command)} failed: see above")
    return TARGET / "release" / "goals"


def ours(strategy, work, options):
    if work == "mark":
        if strategy in ("epoch", "refcount", "none"):
            raise Missing("does not free a whole graph in one collection")
        return Contestant([binary(options), "collect", "--strategy", strategy, options.objects, options.collections])
    # Strategies that free only what was retired are told what dies.
    text = f"{work}?depth={options.depth}" + ("&retire=true" if strategy == "epoch" else "")
    return Contestant([binary(options), "workload", "--strategy", strategy, "--heap", HEAP_MIB, "--cache", OUT / "cache", text])


def all_of(work, options):
    """The contestants of a work by name, and why others are none."""
    peers = MARK_PEERS if work == "mark" else PROGRAM_PEERS
    makers = {name: lambda name=name: builder(name)(name, work, options) for name in peers if name in options.peers}
    for strategy in options.strategies:
        makers[f"ours-{strategy}"] = lambda strategy=strategy: ours(strategy, work, options)
    if options.ours and work == "mark":
        makers["ours"] = lambda: Contestant([*shlex.split(options.ours), options.objects, options.collections])
    OUT.mkdir(parents=True, exist_ok=True)
    contestants, skipped = {}, {}
    for name, build in makers.items():
        try:
            contestants[name] = build()
        except Missing as missing:
            skipped[name] = str(missing)
    return contestants, skipped
