"""Name -> "module:attribute", imported when asked for: what keeps `codekiln --help` fast.

Packages from outside add entries through entry points in the group `codekiln.<kind>`.
"""

from __future__ import annotations

import difflib
import importlib
import importlib.metadata
from functools import cache
from typing import Any

from codekiln.errors import UserError

BUILT_IN: dict[str, dict[str, str]] = {
    # a recipe's tables, and the settings each is validated by
    "tables": {
        "run": "codekiln.recipe:RunSettings",
        "corpus": "codekiln.corpus.settings:CorpusSettings",
        "tokenizer": "codekiln.tokenizer.settings:TokenizerSettings",
        "tokens": "codekiln.tokens.settings:TokensSettings",
        "instruct": "codekiln.corpus.conversations.settings:InstructSettings",
        "model": "codekiln.models.settings:ModelSettings",
        "lora": "codekiln.models.lora_settings:LoraSettings",
        "experiment": "codekiln.cli.experiment.settings:ExperimentSettings",
        "optimizer": "codekiln.training.settings:OptimizerSettings",
        "parallel": "codekiln.parallel.settings:ParallelSettings",
        "training": "codekiln.training.settings:TrainingSettings",
        "evaluation": "codekiln.evaluation.settings:EvaluationSettings",
    },
    # languages that have an import resolver
    "resolvers": {
        "c": "codekiln.languages.c:CResolver",
        "c-sharp": "codekiln.languages.csharp:CSharpResolver",
        "cpp": "codekiln.languages.c:CResolver",
        "go": "codekiln.languages.go:GoResolver",
        "java": "codekiln.languages.jvm:JvmResolver",
        "javascript": "codekiln.languages.javascript:JavaScriptResolver",
        "kotlin": "codekiln.languages.jvm:JvmResolver",
        "php": "codekiln.languages.php:PhpResolver",
        "python": "codekiln.languages.python:PythonResolver",
        "ruby": "codekiln.languages.ruby:RubyResolver",
        "rust": "codekiln.languages.rust:RustResolver",
        "scala": "codekiln.languages.jvm:JvmResolver",
        "typescript": "codekiln.languages.javascript:JavaScriptResolver",
        # dialects, and files that hold a script: resolved as their family is
        "arduino": "codekiln.languages.c:CResolver",
        "cuda": "codekiln.languages.c:CResolver",
        "cython": "codekiln.languages.python:PythonResolver",
        "html-php": "codekiln.languages.php:PhpResolver",
        "jsx": "codekiln.languages.javascript:JavaScriptResolver",
        "vue": "codekiln.languages.javascript:JavaScriptResolver",
    },
    # Hugging Face architectures: their settings (no torch), and their modules
    "configs": {
        "LlamaForCausalLM": "codekiln.models.dense_config:LlamaConfig",
        "DeepseekV2ForCausalLM": "codekiln.models.moe_config:DeepseekV2Config",
    },
    "models": {
        "LlamaForCausalLM": "codekiln.models.dense:LlamaForCausalLM",
        "DeepseekV2ForCausalLM": "codekiln.models.moe:DeepseekV2ForCausalLM",
    },
    "benchmarks": {
        "humaneval": "codekiln.evaluation.humaneval:HumanEval",
        "humanevalpack": "codekiln.evaluation.humaneval:HumanEvalPack",
        "infilling": "codekiln.evaluation.infilling:SingleLineInfilling",
        "fim-single-line": "codekiln.evaluation.fim_single_line:FimSingleLine",
        "humaneval-infilling-single-line": "codekiln.evaluation.humaneval_infilling:SingleLine",
        "humaneval-infilling-multi-line": "codekiln.evaluation.humaneval_infilling:MultiLine",
        "humaneval-infilling-random-span": "codekiln.evaluation.humaneval_infilling:RandomSpan",
        "humaneval-infilling-random-span-light": (
            "codekiln.evaluation.humaneval_infilling:RandomSpanLight"
        ),
        "mbpp": "codekiln.evaluation.mbpp:MBPP",
        "humaneval-plus": "codekiln.evaluation.plus:HumanEvalPlus",
        "mbpp-plus": "codekiln.evaluation.plus:MBPPPlus",
    },
}


def names(kind: str) -> list[str]:
    """All names of a kind, sorted, built in or from entry points."""
    return sorted({**BUILT_IN.get(kind, {}), **_entry_points(kind)})


def load(kind: str, name: str) -> Any:
    """Import and return what `name` stands for.

    Raises:
        UserError: when there is no such name; the nearest one is in the message.
    """
    entries = {**BUILT_IN.get(kind, {}), **_entry_points(kind)}
    if name not in entries:
        raise UserError(
            f"{kind} {name!r}",
            got="no such name",
            wanted="one of " + ", ".join(sorted(entries)),
            remedy=suggestion(name, entries),
        )
    module, _, attribute = entries[name].partition(":")
    return getattr(importlib.import_module(module), attribute)


def suggestion(name: str, known: Any) -> str:
    """'did you mean X?' for the nearest known name, or nothing."""
    near = difflib.get_close_matches(name, list(known), n=1, cutoff=0.5)
    return f"did you mean {near[0]!r}?" if near else ""


@cache  # reading every installed package's metadata takes tens of milliseconds
def _entry_points(kind: str) -> dict[str, str]:
    points = importlib.metadata.entry_points(group=f"codekiln.{kind}")
    return {point.name: point.value for point in points}
