"""`codekiln`: finds the command, imports only that, turns errors into messages."""

from __future__ import annotations

import importlib
import os
import sys

import click

from codekiln import __version__
from codekiln.errors import CodekilnError

# command -> (module:attribute, one line of help); nothing is imported to print --help
COMMANDS: dict[str, tuple[str, str]] = {
    "quickstart": (
        "codekiln.cli.quickstart:quickstart",
        "The whole path on real code: corpus, tokenizer, training, evaluation, report.",
    ),
    "corpus": ("codekiln.cli.corpus:corpus", "Repositories to training documents."),
    "tokenizer": (
        "codekiln.cli.tokenizer:tokenizer",
        "Train a tokenizer on a corpus, compare tokenizers.",
    ),
    "tokens": ("codekiln.cli.tokens:tokens", "Documents to token shards (FIM, packing)."),
    "train": ("codekiln.cli.train:train", "Train a model from a recipe; resume a run."),
    "experiment": (
        "codekiln.cli.experiment.command:experiment",
        "Variants of a recipe, several seeds each, one table with intervals.",
    ),
    "report": (
        "codekiln.cli.report.command:report",
        "A page about a run, or several runs held against each other.",
    ),
    "plan": ("codekiln.cli.plan:plan", "Memory, time and cost of a recipe, before it is run."),
    "eval": ("codekiln.cli.evaluate:evaluate", "Evaluate a model, or score completions."),
    "complete": ("codekiln.cli.complete:complete", "Fill in code at a place in a file."),
    "serve": ("codekiln.cli.serve:serve", "Serve a model over HTTP."),
    "import": ("codekiln.cli.weights:import_", "A Hugging Face folder to a codekiln model."),
    "export": ("codekiln.cli.weights:export", "A codekiln model to a Hugging Face folder."),
    "show": ("codekiln.cli.show:show", "A recipe with all defaults, validated."),
    "list": ("codekiln.cli.listing:listing", "Languages, benchmarks and model presets."),
    "doctor": ("codekiln.cli.doctor:doctor", "What this machine can run, and what it lacks."),
}


class LazyGroup(click.Group):
    """A group whose commands are imported on use."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Names in the order of the work."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        """Import one command."""
        if name not in COMMANDS:
            return None
        module, _, attribute = COMMANDS[name][0].partition(":")
        command: click.Command = getattr(importlib.import_module(module), attribute)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the commands from the table, without importing them."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, line) for name, (_, line) in COMMANDS.items()])


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="codekiln")
@click.option("-v", "--verbose", is_flag=True, help="Say more.")
def cli(verbose: bool) -> None:
    """Turn repositories into code models: the DeepSeek-Coder system in one package.

    \b
    Example:
      codekiln quickstart ~/src/project-a ~/src/project-b
    """
    from codekiln.log import setup

    setup(verbose=verbose)


def main(arguments: list[str] | None = None) -> None:
    """Entry point. Errors a user can mend: one message, exit 2; others of ours: exit 1."""
    # Threads that wait by spinning are a third faster on an idle machine and nine times slower
    # beside one other busy process (measured on two cores), so they sleep unless the user says
    # otherwise. Read by OpenMP when torch is imported.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    try:
        cli.main(args=arguments, prog_name="codekiln", standalone_mode=False)
    except click.exceptions.Abort:
        click.echo("interrupted", err=True)
        sys.exit(130)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except click.exceptions.Exit as error:
        sys.exit(error.exit_code)
    except CodekilnError as error:
        click.echo(f"error: {error}", err=True)
        sys.exit(error.exit_code)
    except BrokenPipeError:  # `codekiln … | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except OSError as error:  # a full disk, a place that cannot be written
        if error.filename is None:
            raise
        click.echo(f"error: {error.filename}: {error.strerror}", err=True)
        sys.exit(2)


if __name__ == "__main__":
    main()
