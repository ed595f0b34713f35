"""From a spec to the files by which GitHub or GitLab reviews and deploys it: what `ctc init --ci` writes."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from ctc import __version__, targets
from ctc.diagnostics import CtcError, Severity
from ctc.language.load import load_each
from ctc.language.render import rows_of
from ctc.language.source import read
from ctc.language.spec import Spec

Service = Literal["github", "gitlab"]

FILES: dict[Service, dict[str, str]] = {
    "github": {".github/workflows/ctc.yml": "github.yml.j2", ".github/actions/ctc/action.yml": "action.yml.j2"},
    "gitlab": {".gitlab/ctc.gitlab-ci.yml": "gitlab.yml.j2"},
}
"""What is written, below the root of the repository, and the template of each."""

PINS = {
    "checkout": ("actions/checkout", "3d3c42e5aac5ba805825da76410c181273ba90b1", "v7.0.1"),
    "python": ("actions/setup-python", "5fda3b95a4ea91299a34e894583c3862153e4b97", "v7.0.0"),
    "upload": ("actions/upload-artifact", "bbbca2ddaa5d8feaa63e36b76fdaad77386f024f", "v7.0.0"),
    "download": ("actions/download-artifact", "3e5f45b2cfb9172054b4087a40e8e0b5a5461e7c", "v8.0.1"),
    "aws": ("aws-actions/configure-aws-credentials", "e6de054238d6b7531b4efff3b6587d9aade6a06c", "v6.2.3"),
    "google": ("google-github-actions/auth", "7c6bc770dae815cd3e89ee6cdf493a5fab2cc093", "v3.0.0"),
    "azure": ("azure/login", "f5d393ae46f8fde4be8b75f32e3fc50e654ad0ca", "v3.0.1"),
}
"""Actions by the commits that their tags named on 2026-08-20: a tag can be moved, a commit cannot."""

VARIABLES: dict[Service, dict[str, tuple[str, ...]]] = {
    "github": {
        "aws": ("CTC_AWS_ROLE",),
        "google": ("CTC_GOOGLE_PROVIDER", "CTC_GOOGLE_ACCOUNT"),
        "azure": ("CTC_AZURE_CLIENT", "CTC_AZURE_TENANT", "CTC_AZURE_SUBSCRIPTION"),
    },
    "gitlab": {
        "aws": ("AWS_ROLE_ARN",),
        "google": ("CTC_GOOGLE_CONFIG", "CTC_GOOGLE_AUDIENCE"),
        "azure": ("AZURE_CLIENT_ID", "AZURE_TENANT_ID"),
    },
}
"""The variables by which a job logs in without a key, by cloud."""

CLOUDS = {"sagemaker": "aws", "vertex": "google", "azureml": "azure"}


@dataclass(frozen=True)
class Deployed:
    """One deployment that the files plan and deploy; `environment` and `row` are empty where the spec has none."""

    target: str
    environment: str
    row: str

    @property
    def name(self) -> str:
        return "-".join(part for part in (self.target, self.environment, self.row) if part)

    @property
    def options(self) -> list[str]:
        """The options of the command line that choose it."""
        given = (("--target", self.target), ("--env", self.environment), ("--row", self.row))
        return [word for option, value in given if value for word in (option, value)]


def files(spec: Path, service: Service) -> dict[Path, str]:
    """The texts by path. CtcError where there is no spec that could be reviewed."""
    if not spec.is_file():
        raise CtcError(f"{spec} is not there", "write it with ctc init, or name another with --out")
    root = _root(spec)
    deployments = tuple(_deployments(spec))
    about: dict[str, Any] = {
        "branch": _branch(root),
        "spec": spec.resolve().relative_to(root).as_posix(),
        "version": __version__,
        "deployments": deployments,
        "clouds": sorted({CLOUDS[item.target] for item in deployments if item.target in CLOUDS}),
        "extras": ",".join(sorted({item.target for item in deployments})),
        "pin": {name: f"{action}@{commit} # {tag}" for name, (action, commit, tag) in PINS.items()},
        "regions": {cloud: _setting(spec, target, "region") for target, cloud in CLOUDS.items()},
    }
    return {root / path: _rendered(template, about) for path, template in FILES[service].items()}


def what_else(spec: Path, service: Service) -> Iterator[str]:
    """What somebody does once in the service's settings, a line each."""
    deployments = tuple(_deployments(spec))
    clouds = {CLOUDS[item.target] for item in deployments if item.target in CLOUDS}
    if service == "github" and deployments:
        named = ", ".join(f"ctc-{item.name}" for item in deployments)
        yield f"in Settings, Environments: make {named}, each with required reviewers; they approve its plans"
    if service == "gitlab":
        yield "in .gitlab-ci.yml: include: {local: .gitlab/ctc.gitlab-ci.yml}"
    for cloud in sorted(clouds):
        names = VARIABLES[service][cloud]
        yield f"in the variables of the repository: {', '.join(names)}; the role trusts this repository's tokens"


def write(found: Mapping[Path, str], *, force: bool) -> tuple[Path, ...]:
    """Writes the files that are not there as they should be. CtcError, before any is written, if one is another's."""
    stale = {path: text for path, text in found.items() if not path.is_file() or path.read_text("utf-8") != text}
    theirs = [path for path in stale if path.exists()]
    if theirs and not force:
        named = ", ".join(map(str, theirs))
        raise CtcError(f"{named}: there already, and not what this version writes", "look at it, then use --force")
    for path, text in stale.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return tuple(stale)


def _root(spec: Path) -> Path:
    """The repository that the spec is in; its folder where it is in none."""
    folder = spec.resolve().parent
    return next((place for place in (folder, *folder.parents) if (place / ".git").exists()), folder)


def _branch(root: Path) -> str:
    """The main branch, as the clone knows it; `main` where it does not."""
    try:
        said = (root / ".git" / "refs" / "remotes" / "origin" / "HEAD").read_text(encoding="utf-8")
    except OSError:
        return "main"
    return said.strip().rpartition("refs/remotes/origin/")[2] or "main"


def _specs(spec: Path) -> tuple[Spec, ...]:
    loaded, found = load_each(spec)
    errors = [item for item in found if item.severity is Severity.ERROR]
    if errors:
        raise CtcError(f"{spec} has errors, the first is: {errors[0].message}", f"ctc validate {spec}")
    return tuple(one.spec for one in loaded if one.spec is not None)


def _deployments(spec: Path) -> Iterator[Deployed]:
    """Of every environment, row and target that this version reaches."""
    document = read(spec)
    rows = rows_of(document)
    environments = isinstance(document.data, dict) and bool(document.data.get("environments"))
    for one in _specs(spec):
        for target in sorted(one.targets):
            if target in targets.DEPLOYED:
                yield Deployed(target, one.environment if environments else "", one.row if rows else "")


def _setting(spec: Path, target: str, name: str) -> str:
    """What the spec's section of a target says, if it says the same everywhere."""
    said = {str(one.targets[target][name]) for one in _specs(spec) if name in one.targets.get(target, {})}
    return said.pop() if len(said) == 1 else ""


def _rendered(template: str, about: Mapping[str, Any]) -> str:
    import jinja2

    # Other signs than usual: `{{` is GitHub's own.
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent / "templates"),
        autoescape=False,
        undefined=jinja2.StrictUndefined,
        block_start_string="[%",
        block_end_string="%]",
        variable_start_string="[[",
        variable_end_string="]]",
        comment_start_string="[#",
        comment_end_string="#]",
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters["quoted"] = lambda value: json.dumps(value, ensure_ascii=False)
    return environment.get_template(template).render(about)
