"""Ruby: requires and constants by hand; edges against Ripper and a running Ruby on whole gems."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from codekiln.corpus.ordering.graph import Graph, build_graph
from codekiln.languages.ruby_scan import RubyFile, scan
from codekiln.types import SourceFile


def graph(texts: Mapping[str, str]) -> Graph:
    files = [SourceFile(path=p, text=t, language="ruby") for p, t in texts.items()]
    built = {p: t for p, t in texts.items() if p.endswith(".gemspec")}
    return build_graph(files, build_files=built)


def edges(texts: Mapping[str, str]) -> set[tuple[str, str, str]]:
    return {(e.source, e.target, e.kind) for e in graph(texts).edges}


def read(text: str) -> RubyFile:
    return scan(text, {})


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("require 'a/b'", [("a/b", 0, "import")]),
        ('require("a")', [("a", 0, "import")]),
        ("require_relative '../a'", [("../a", 1, "import")]),
        ("require_dependency 'a'", [("a", 0, "import")]),
        ("load 'a.rb' if x", [("a.rb", 0, "import")]),
        ("begin; require 'a'; rescue LoadError; end", [("a", 0, "import")]),
        ("autoload :A, 'a'", [("a", 0, "declare")]),
        ('autoload "A", "a"', [("a", 0, "declare")]),
        (
            "def f\n  require 'a'\nend\nif x\n  require 'b'\nend",
            [("a", 0, "local"), ("b", 0, "import")],
        ),
        ("require File.expand_path('../a', __FILE__)", [("a", 1, "import")]),
        ("require File.expand_path('../../a', __FILE__)", [("../a", 1, "import")]),
        ("require File.expand_path('../a', __dir__)", [("../a", 1, "import")]),
        ("require File.join(File.dirname(__FILE__), 'a')", [("a", 1, "import")]),
        ("require File.dirname(__FILE__) + '/a'", [("a", 1, "import")]),
        ('require "#{__dir__}/a"', [("a", 1, "import")]),
        ("x = 1 << 2\nrequire 'a'\n2", [("a", 0, "import")]),
        ("x = <<~TEXT\n  require 'b'\n  TEXT\nrequire 'a'", [("a", 0, "import")]),
    ],
)
def test_requires(text: str, wanted: list[tuple[str, int, str]]) -> None:
    assert [(r.target, r.level, r.kind) for r in read(text).requires] == wanted


@pytest.mark.parametrize(
    "text",
    [
        "# require 'a'",
        "x # load 'a'",
        "puts \"require 'a'\"",
        "'require \"a\"'",
        "=begin\nrequire 'a'\n=end",
        "=begin\nrequire 'a'",
        "x = <<-EOS + y\nrequire 'a'\n  EOS\n",
        "x = <<\"EOS\"\nrequire 'a'\nEOS\n",
        "__END__\nrequire 'a'",
        "my_require 'a'",
        "download 'a'",
        "x.require 'a'",
        ":require",
        "require name",
        'require "a/#{name}"',
        "gem 'a', require: 'b'",
    ],
)
def test_what_requires_nothing(text: str) -> None:
    assert read(text).requires == ()


def test_constants_are_nested_and_strings_hold_none() -> None:
    found = read(
        "module A\n  class B::C < D\n    E = F.new('G')\n    include H::I # J\n    \"#{K} L\"\n"
        "    %w[M N]\n    x == E\n    {O: :P, q: ::R}\n  end\nend\n"
    )
    assert set(found.opens) == {"A", "A::B::C"}
    assert set(found.sets) == {"A::B::C::E"}
    assert {"D", "F", "H::I", "K", "::R"} <= set(found.uses)
    assert not {"G", "J", "M", "N", "P"} & set(found.uses)


@pytest.mark.parametrize(
    ("paths", "source", "line", "wanted"),
    [
        ("lib/a.rb", "lib/b.rb", "require 'a'", ["lib/a.rb"]),
        ("lib/x/a.rb", "bin/b.rb", "require 'x/a'", ["lib/x/a.rb"]),
        ("g/lib/a.rb h/lib/a.rb", "g/lib/b.rb", "require 'a'", ["g/lib/a.rb"]),
        ("g/lib/a.rb h/lib/a.rb", "k/b.rb", "require 'a'", []),
        ("test/helper.rb", "test/x/b.rb", "require 'helper'", ["test/helper.rb"]),
        ("test/helper.rb", "lib/b.rb", "require 'helper'", []),
        ("app/a.rb", "lib/b.rb", "require 'a'", []),
        ("src/a.rb", "b.rb", "require 'a'", ["src/a.rb"]),
        ("lib/x/a.rb", "lib/x/b.rb", "require_relative 'a'", ["lib/x/a.rb"]),
        ("tasks/a.rake", "lib/b.rb", "load 'tasks/a.rake'", ["tasks/a.rake"]),
        ("lib/a.rb", "lib/x/b.rb", "require_relative '../../../a'", []),
        ("lib/a.rb", "lib/b.rb", "require '/lib/a'", []),
    ],
)
def test_where_requires_lead(paths: str, source: str, line: str, wanted: list[str]) -> None:
    texts = dict.fromkeys(paths.split(), "")
    texts["x.gemspec"] = 'Gem::Specification.new { |s| s.require_paths = ["src", "lib"] }'
    texts[source] = line
    assert [e.target for e in graph(texts).edges if e.source == source] == wanted


APP = {
    "app/models/user.rb": "class User < ApplicationRecord\n  include Named\nend\n",
    "app/models/application_record.rb": "class ApplicationRecord < ActiveRecord::Base\nend\n",
    "app/models/concerns/named.rb": "module Named\nend\n",
    "app/controllers/admin/users_controller.rb": "module Admin\n  class UsersController\n"
    "    def show\n      User.find(HTMLParser.parse(Limits::MOST))\n    end\n  end\nend\n",
    "app/controllers/users_controller.rb": "class UsersController\nend\n",
    "app/lib/html_parser.rb": "class HTMLParser\nend\n",
    "config/limits.rb": "module Limits\n  MOST = 1\nend\n",
    "spec/user_spec.rb": "describe User do\n  Admin::UsersController.new\nend\nclass Helper\nend\n",
    "lib/late.rb": "Helper.new\nString.new\n",
    "lib/core_ext/string.rb": "class String\nend\n",
}


def test_constants_lead_to_the_files_that_define_them() -> None:
    assert edges(APP) == {
        ("app/models/user.rb", "app/models/application_record.rb", "use"),
        ("app/models/user.rb", "app/models/concerns/named.rb", "use"),
        ("app/controllers/admin/users_controller.rb", "app/models/user.rb", "use"),
        ("app/controllers/admin/users_controller.rb", "app/lib/html_parser.rb", "use"),
        ("app/controllers/admin/users_controller.rb", "config/limits.rb", "use"),
        ("spec/user_spec.rb", "app/models/user.rb", "use"),
        ("spec/user_spec.rb", "app/controllers/admin/users_controller.rb", "use"),
    }


def test_a_module_that_many_files_open_is_the_file_of_its_name() -> None:
    texts = {
        "lib/gem.rb": "require 'gem/one'\nmodule Gem1\n  autoload :Two, 'gem/two'\nend\n",
        "lib/gem1.rb": "module Gem1\n  NAME = 1\nend\n",
        "lib/gem/one.rb": "module Gem1\n  class One\n    Two.new\n  end\nend\n",
        "lib/gem/two.rb": "module Gem1\n  class Two\n  end\nend\n",
        "bin/run.rb": "Gem1::One.new\nGem1::Three\n",
    }
    assert edges(texts) == {
        ("lib/gem.rb", "lib/gem/one.rb", "import"),
        ("lib/gem.rb", "lib/gem/two.rb", "declare"),
        ("lib/gem/one.rb", "lib/gem/two.rb", "use"),
        ("bin/run.rb", "lib/gem/one.rb", "use"),
        ("bin/run.rb", "lib/gem1.rb", "use"),
    }


TOKENS = st.sampled_from(
    [
        "require ",
        "require_relative ",
        "load ",
        "autoload :A, ",
        '"',
        "'",
        "a/b",
        "#",
        "#{",
        "}",
        "\n",
        "=begin\n",
        "=end\n",
        "__END__\n",
        "<<~A",
        "A\n",
        "class ",
        "module ",
        "A",
        "::",
        "B = ",
        "def ",
        "end\n",
        "  ",
        "%w[",
        "]",
        "\\",
        "(",
        ")",
        "File.expand_path(",
        ", __FILE__",
        "\x00",
        "é",
        "\r\n",
    ]
)


@given(st.lists(TOKENS, max_size=60).map("".join))
def test_no_text_breaks_the_scan(text: str) -> None:
    found = graph({"lib/a.rb": text, "lib/a/b.rb": text, "x.gemspec": text})
    assert found.failed == ()


@pytest.mark.oracle
@pytest.mark.parametrize(
    ("package", "mains", "least", "wanted_use"),
    [
        ("ruby-rack", ["rack"], 80, (0.85, 0.95)),
        ("ruby-rouge", ["rouge"], 0, (0.95, 0.95)),
        ("ruby-activesupport", ["active_support"], 350, None),
    ],
)
def test_recall_and_precision_against_ruby(
    debian_package: Callable[[str], Path],
    package: str,
    mains: list[str],
    least: int,
    wanted_use: tuple[float, float] | None,
) -> None:
    """Precision of constants counts where the gem can be loaded whole, without other gems."""
    if shutil.which("ruby") is None:
        pytest.skip("needs ruby")
    folder = debian_package(package) / "usr/share/rubygems-integration/all/gems"
    (root,) = folder.glob(package.removeprefix("ruby-") + "-[0-9]*")
    oracle = Path(__file__).with_name("oracle_ruby.rb")
    done = subprocess.run(
        ["ruby", str(oracle), str(root), "lib", *mains], capture_output=True, text=True, check=True
    )
    lines = [line.split("\t") for line in done.stdout.splitlines()]
    required = {(s, t) for kind, s, t in lines if kind == "require"}
    resolved = {(s, t) for _, s, t in lines}
    assert len(required) >= least
    found = {
        (s, t): kind
        for s, t, kind in edges(
            {p.relative_to(root).as_posix(): p.read_text() for p in root.rglob("*.rb")}
        )
        if s.startswith("lib/")
    }
    if least:
        by_require = {pair for pair, kind in found.items() if kind != "use"}
        recall = len(required & found.keys()) / len(required)
        precision = len(by_require & resolved) / len(by_require)
        print(
            f"{package}, require: {len(required)}, recall {recall:.4f}, precision {precision:.4f}"
        )
        assert recall >= 0.95
        assert precision >= 0.95
    if wanted_use:
        recall = len(resolved & found.keys()) / len(resolved)
        precision = len(resolved & found.keys()) / len(found)
        print(f"{package}, all: {len(resolved)}, {recall:.4f}, {precision:.4f}")
        assert recall >= wanted_use[0]
        assert precision >= wanted_use[1]
