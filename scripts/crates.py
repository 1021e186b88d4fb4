"""The crates of this project, for the scripts that speak of them: which are linked in, and what they ask to be told."""
import json
import pathlib
import re
import subprocess

ROOT = pathlib.Path(__file__).resolve().parent.parent

# A crate's own words about its licence; not a source file of that name.
NOTICE = re.compile(r"(?i)(un)?(licen[cs]e|copying|copyright|notice)([-._](?!rs$).*)?$")
# A copyright line, and lines that go on with its names.
COPYRIGHT = re.compile(r"(?i)copyright(?: (?:\(c\)|©|\d{4})(?:.*(?:,| and)\n\W*)*.*|s .* retained by their contributors)")
# What need not be told where the MIT licence is beside it: there is a choice, and that one was taken.
CHOICE = re.compile(r"(?i).*apache|unlicense")
# The copy of zstd, in whose place the packages load the distribution's library.
NOT_LINKED = ("zstd-sys", "zstd")


def cargo(*arguments):
    return subprocess.run([ROOT / "scripts/cargo", *arguments], check=True, stdout=subprocess.PIPE, text=True,
                          cwd=ROOT).stdout


def metadata():
    """cargo's word on each crate of Cargo.lock, by name and version."""
    answer = json.loads(cargo("metadata", "--locked", "--format-version", "1"))
    return {(package["name"], package["version"]): package for package in answer["packages"]}


def linked(*names):
    """What ends up in what is built of these crates, by name and version, and for each what it needs itself. cargo's
    tree has the features of just that build; macros, which the compiler runs, and tools of the build are not in it."""
    options = [word for name in names for word in ("--package", name)]
    tree = cargo("tree", "--locked", "--edges", "normal,no-proc-macro", "--prefix", "depth", "--format", " {p}", *options)
    found, above = {}, []
    for line in tree.splitlines():
        if not line:
            continue
        depth, name, version = line.split(" ")[:3]
        crate = (name, version.removeprefix("v"))
        found.setdefault(crate, set())
        del above[int(depth):]
        if above:
            found[above[-1]].add(crate)
        above.append(crate)
    return found


def notices(package):
    """The files in which a crate tells its licence and its authors' rights, as paths within it."""
    folder = pathlib.Path(package["manifest_path"]).parent
    files = sorted(path.relative_to(folder) for path in folder.rglob("*") if NOTICE.fullmatch(path.name) and path.is_file())
    chosen = {path.parent for path in files if "MIT" in path.name}
    return [path for path in files if not (CHOICE.match(path.name) and path.parent in chosen)
            and (package["name"], path.parts[0]) != NOT_LINKED]
