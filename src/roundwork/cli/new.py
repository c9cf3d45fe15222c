"""`roundwork new`: a task folder from a few answers."""

import sys
from pathlib import Path

import click

from .options import json_option
from .output import say, say_json

QUESTIONS = {
    "work": "What does a node do in a round?",
    "proof": "Is its proof the result itself (text, up to 512 bytes), or a file with it (blob)?",
    "check": "How does another node check it?",
    "reward": "Is the bounty paid by stake, or to all nodes alike (heads)?",
    "penalty": "What part of its stake does a convicted node lose?",
}


@click.command()
@click.argument("folder", metavar="NAME", type=click.Path(path_type=Path))
@click.option("--work", help=QUESTIONS["work"])
@click.option("--proof", type=click.Choice(["text", "blob"]), help=QUESTIONS["proof"])
@click.option("--check", help=QUESTIONS["check"])
@click.option("--reward", type=click.Choice(["stake", "heads"]), help=QUESTIONS["reward"])
@click.option("--penalty", help=QUESTIONS["penalty"])
@click.option(
    "--rules",
    type=click.Choice(["roundwork-1", "koii-1"]),
    default="roundwork-1",
    show_default=True,
    help="The rule set.",
)
@click.option("--yes", is_flag=True, help="Take the defaults for what is not given, without questions.")
@json_option
def command(folder: Path, rules: str, yes: bool, as_json: bool, **given: str | None) -> None:
    """Make a task folder called NAME: a program that runs, its configuration, a test, a README.

    At a terminal it asks for what is not given.
    """
    from ..package.scaffold import Answers, write_scaffold

    is_asking = not yes and not as_json and sys.stdin.isatty()
    answers = {
        name: _ask(name, getattr(Answers(), name)) if value is None and is_asking else value
        for name, value in given.items()
    }
    known = {name: value for name, value in answers.items() if value is not None}
    paths = write_scaffold(folder, Answers(rules=rules, **known))  # type: ignore[arg-type] # click has checked the choices
    if as_json:
        say_json({"folder": str(folder), "files": [path.name for path in paths]})
        return
    for path in paths:
        say(f"wrote {path}")
    say(f"next: roundwork try {folder}")


def _ask(name: str, default: str) -> str:
    choices = {"proof": click.Choice(["text", "blob"]), "reward": click.Choice(["stake", "heads"])}
    answer: str = click.prompt(QUESTIONS[name], default=default, type=choices.get(name), err=True)
    return answer
