"""Suffixes that languages share, settled by content; every sample here is made for the test."""

from __future__ import annotations

import pytest

from codekiln.languages.table import _content, detect, languages


def name_of(path: str, head: str = "") -> str | None:
    language = detect(path, head)
    return language.name if language else None


SAMPLES: list[tuple[str, str, str | None]] = [
    ("x.h", "int f(void);\n", "c"),
    ("x.h", "", "c"),
    ("x.h", '#ifdef __cplusplus\nextern "C" {\n#endif\nstruct a { int class_; };\n', "c"),
    ("x.h", "/* a class of things: */\nstruct s;\n", "c"),
    ("x.h", "// licence\n\nnamespace a {\nint f();\n}\n", "cpp"),
    ("x.h", "template <typename T> T f(T);\n", "cpp"),
    ("x.h", "class Foo : public Bar {\n public:\n};\n", "cpp"),
    ("x.h", "#include <vector>\n", "cpp"),
    ("x.h", "#include <stdio.h>\n", "c"),
    ("x.h", "#import <Foundation/Foundation.h>\n@interface A\n@end\n", "objective-c"),
    ("x.h", "/* " + "l" * 5000 + " */\n\nclass A {\n};\n", "cpp"),
    ("x.m", "function y = f(x)\n  y = x;\nend\n", "matlab"),
    ("x.m", '#import "A.h"\n@implementation A\n@end\n', "objective-c"),
    ("x.m", "(* ::Package:: *)\nf[x_] := x\n", "mathematica"),
    ("x.pl", "use strict;\nmy $x = 1;\n", "perl"),
    ("x.pl", ":- module(x, [f/1]).\nf(X) :- g(X).\n", "prolog"),
    ("x.v", "module m(input a);\nendmodule\n", "verilog"),
    ("x.v", "Require Import Arith.\nTheorem t : True.\n", None),
    ("x.ts", "export const a = 1\n", "typescript"),
    ("x.ts", '<?xml version="1.0"?>\n<TS></TS>\n', "xml"),
    ("x.cls", "\\ProvidesClass{x}\n", "tex"),
    ("x.cls", "VERSION 1.0 CLASS\nBEGIN\n", "visual-basic"),
    ("x.t", "use Test::More;\n", "perl"),
    ("x.t", "anything else\n", None),
    ("x.h", "@class Foo;\nint f(void);\n", "objective-c"),
    ("x.m", "function y = f(x)\n  # double it\n  y = 2*x;\nendfunction\n", "octave"),
    ("x.m", "% clear\nclear all\nx = 1;\n", "matlab"),
    ("x.m", ":- module store.\n:- interface.\n", None),  # Mercury
    ("x.m", 'Draw: module\n{\n\tPATH: con "d";\n};\n', "limbo"),
    ("x.m", ": main ( -- ) me @ ;\n", "muf"),
    ("x.m", "<%args>\n$name\n</%args>\n", "mason"),
    ("x.m", "main ; start\n quit\n", None),  # MUMPS
    ("x.mm", "#import <A/A.h>\n", "objective-c++"),
    ("x.mm", "<map version='1'>\n", "xml"),
    ("x.pl", "use v6;\nsay 1;\n", "perl-6"),
    ("x.pm", "package A::B;\nuse strict;\n", "perl"),
    ("x.pm", "unit module A;\n", "perl-6"),
    ("x.pm", "/* XPM */\nstatic char *a[] = {\n", None),
    ("x.t", "use v6;\nuse Test;\n", "perl-6"),
    ("x.t", 'var n : int := 1\nput "n"\n', "turing"),
    ("x.t", "terra f(a : int)\n  return a\nend\n", None),
    ("x.v", "module main\n\nfn main() {\n}\n", None),  # V
    ("x.tsx", "<?xml version='1.0'?>\n<tileset/>\n", "xml"),
    ("x.tsx", "export const A = () => <p/>;\n", "typescript"),
    ("x.fs", "module A\nlet f x = x + 1\n", "f-sharp"),
    ("x.fs", "#version 330\nvoid main() {}\n", "glsl"),
    ("x.fs", ": square dup * ;\n", None),  # Forth
    ("x.pp", "unit A;\ninterface\nend.\n", "pascal"),
    ("x.pp", "class apache {\n  package { 'httpd': ensure => present }\n}\n", "puppet"),
    ("x.cl", "(defun f (x) x)\n", "common-lisp"),
    ("x.cl", "__kernel void f(__global int *a) { a[0] = 1; }\n", "opencl"),
    ("x.cls", "public class A {\n}\n", None),  # Apex
    (
        "x.cls",
        "CLASS a.b.C INHERITS D:\n  METHOD PUBLIC VOID f():\n  END METHOD.\n",
        "openedge-abl",
    ),
    ("x.r", "f <- function(x) x\n", "r"),
    ("x.r", 'REBOL [title: "a"]\n', None),
    ("x.sc", "object A extends App {\n  val x = 1\n}\n", "scala"),
    ("x.sc", "SynthDef(\\a, { |freq| Out.ar(0) }).add;\n", "supercollider"),
    ("x.sql", "select a from b;\n", "sql"),
    ("x.sql", "SET NOCOUNT ON\nGO\n", "transact-sql"),
    ("x.sql", "select * from [dbo].[t]\n", "transact-sql"),
    ("x.inc", "<?php\necho 1;\n", "php"),
    ("x.inc", "#declare A = 1;\n", "pov-ray"),
    ("x.inc", "native print(const text[]);\n", "pawn"),
    ("x.inc", "#include <sourcemod>\nnative int F(int a);\n", "sourcepawn"),
    ("x.inc", 'SRC_URI = "a"\ninherit autotools\n', "bitbake"),
    ("x.inc", "procedure a;\nbegin\nend;\n", "pascal"),
    ("x.inc", "#ifndef A\n#define A\n#endif\n", "c"),
    ("x.inc", "namespace a {\n}\n", "cpp"),
    ("x.inc", "create table a (b int);\n", "sql"),
    ("x.inc", "; registers\nfoo: equ 1\n", "assembly"),
    ("x.inc", "plain words\n", None),
    ("x.s", "\t.globl f\nf:\n\tret\n", "gas"),
    ("x.s", "f LDA 1\n", "assembly"),
    ("x.asm", "section .text\nglobal _start\n_start:\n", "nasm"),
    ("x.asm", ".model small\n.code\nmain proc\n", "assembly"),
    ("x.d", "a.o: a.c a.h\n", None),
    ("x.l", "%{\n#include <stdio.h>\n%}\n%%\n[a] ;\n", "lex"),
    ("x.l", "(defun f (x) x)\n", "common-lisp"),
    ("x.l", ".TH A 1\n.SH NAME\n", "groff"),
    ("x.l", "no clue\n", None),
    ("x.ll", "define i32 @f() {\n  ret i32 0\n}\n", "llvm"),
    ("x.ll", "%option c++\n%%\n", "lex"),
    ("tool.1", ".TH TOOL 1\n.SH NAME\n", "groff"),
    ("tool.1", "release notes\n", None),
    ("tool.8", '.\\" a comment\n.Dd today\n', "groff"),
    ("x.ms", ".LP\nA paragraph.\n", "groff"),
    ("x.ms", "f = function(a)\n  return a\nend function\n", "miniscript"),
    ("x.ms", 'rollout a "A"\n(\n)\n', None),
    ("x.mod", "MODULE A;\nBEGIN\nEND A.\n", "modula-2"),
    ("x.mod", "param n;\nvar x{1..n};\nminimize z: x[1];\n", "ampl"),
    ("go.mod", "module example.org/a\n\ngo 1.22\n", None),
    ("x.mod", "<!ENTITY a 'b'>\n", "xml"),
    ("x.def", "DEFINITION MODULE A;\nEND A.\n", "modula-2"),
    ("x.def", "Bootstrap: docker\nFrom: a\n", "singularity"),
    ("x.def", "EXPORTS\n  f\n", None),
    ("x.st", "Object subclass: A [\n]\n", "smalltalk"),
    ("x.st", "group a;\nf() ::= <<x>>\n", None),
    ("x.gd", "extends Node\nfunc _ready():\n\tpass\n", "gdscript"),
    ("x.gd", 'DeclareOperation( "F", [] );\n', "gap"),
    ("x.g", "grammar T;\nr : 'a' ;\n", "antlr"),
    ("x.g", "f := function(x) return x; end;\n", "gap"),
    ("x.g", "G21\nG1 X1 Y2\n", "g-code"),
    ("x.tpl", "{foreach $a as $b}{$b}{/foreach}\n", "smarty"),
    ("x.tpl", "{{ if .Values.a }}b{{ end }}\n", None),  # Go
    ("x.tpl", "<?php echo 1 ?>\n", "html-php"),
    ("x.frm", "VERSION 5.00\nBegin VB.Form A\n", "visual-basic"),
    ("x.frm", "#-\nSymbols a,b;\nLocal F = a;\n.end\n", None),  # FORM
    ("x.bas", 'Attribute VB_Name = "A"\nSub F()\nEnd Sub\n', "visual-basic"),
    ("x.bas", '10 PRINT "A"\n20 GOTO 10\n', None),
    ("x.bas", '#include "a.bi"\ndim as integer x\n', None),
    ("x.asc", "function f() {\n}\n", "ags-script"),
    ("x.asc", "= Title\n\nWords.\n", None),
    ("x.asc", "-----BEGIN PGP PUBLIC KEY BLOCK-----\n", None),
    ("x.as", "package a {\n  public class B {}\n}\n", "actionscript"),
    ("x.as", "shared class A {\n  B@ b;\n}\n", None),  # AngelScript
    ("x.pro", "a :- b.\nc(X) :- d(X).\n", "prolog"),
    ("x.pro", "QT += core\nTARGET = a\n", None),  # qmake
    ("x.pro", "pro f, x\n  print, x\nend\n", None),  # IDL
    ("x.pro", "# rules\n-keep class a\n", None),  # ProGuard
    ("x.plt", "set xlabel 'a'\nplot 'b'\n", "gnuplot"),
    ("x.plt", ":- begin_tests(a).\ntest(b) :- c.\n", "prolog"),
    ("x.p", "DEFINE VARIABLE a AS CHARACTER NO-UNDO.\n", "openedge-abl"),
    ("x.p", "set terminal png\nplot sin(x)\n", "gnuplot"),
    ("x.p", "#include <core>\nnew count\n", "pawn"),
    ("x.p", "program a;\nbegin\nend.\n", "pascal"),
    ("x.e", "class A\nfeature\n  f do end\nend\n", "eiffel"),
    ("x.e", "words\n", None),
    ("x.b", 'implement A;\ninclude "sys.m";\n', "limbo"),
    ("x.b", "++++++++[>++++<-]>.\n", "brainfuck"),
    ("x.bf", "++++++[>+++<-]>.\n", "brainfuck"),
    ("x.bb", 'SUMMARY = "a"\ninherit cmake\n', "bitbake"),
    ("x.bb", "Graphics 640,480\nWhile 1\nWend\n", "blitzbasic"),
    ("x.bb", "(ns a.b)\n", "clojure"),
    ("x.gs", "function f() { return 1; }\n", "javascript"),
    ("x.gs", 'uses java.util.List\nprint("a")\n', "gosu"),
    ("x.jq", "declare function a:b() { 1 };\n", "jsoniq"),
    ("x.jq", "def f: .a | .b;\n", None),  # jq
    ("x.j", ".class public A\n.super java/lang/Object\n", "jasmin"),
    ("x.j", "@import <A/A.j>\n", None),
    ("x.q", "f:{x+1}\n", "q"),
    ("x.q", "SELECT a FROM b;\n", "sql"),
    ("x.q", "f <- function(x)\n  x\n", "s"),
    ("x.rs", "fn main() {}\n", "rust"),
    ("x.rs", "#pragma version(1)\n#pragma rs java_package_name(a)\n", "renderscript"),
    ("x.re", "let f = x => x + 1;\n", "reasonml"),
    ("x.re", "#include <a.h>\n/*!re2c */\n", "cpp"),
    (
        "x.rl",
        "=begin\n%%{\n machine a;\n}%%\n=end\nrequire 'set'\ndef f\nend\n",
        "ragel-in-ruby-host",
    ),
    ("x.rpy", 'label start:\n    "Hello"\n', "renpy"),
    ("x.rpy", "import os\n", "python"),
    ("x.sp", "#include <sourcemod>\npublic void OnPluginStart() {}\n", "sourcepawn"),
    ("x.sp", "* netlist\nR1 a b 1k\n", None),
    ("x.ftl", "<#if a>${b}</#if>\n", "freemarker"),
    ("x.ftl", "hello = Hello\n", None),  # Fluent
    ("x.fx", "float4 f(float4 p : POSITION) : SV_Target { return p; }\n", "hlsl"),
    ("x.fx", "source Listen => Read;\n", "flux"),
    ("x.f", "      program a\n      end\n", "fortran-fixed-form"),
    ("x.f", "program a\nend program\n", "fortran"),
    ("x.cbl", "IDENTIFICATION DIVISION.\n", "cobolfree"),
    ("x.cbl", "000100 IDENTIFICATION DIVISION.\n", "cobol"),
    ("x.prg", '#include "hbclass.ch"\nFUNCTION Main()\nRETURN NIL\n', "xbase"),
    ("x.prg", "DEFINE CLASS a AS Form\nENDDEFINE\n", "foxpro"),
    ("x.ash", "#define A 1\nimport function f();\n", "ags-script"),
    ("x.at", "def a := object: { };\nimport /.b;\n", "ambienttalk"),
    ("x.at", "AT_SETUP([a])\nAT_CLEANUP\n", "m4"),
    ("x.ans", "/PREP7\nET,1,SOLID185\n", "ansys-parametric-design-language"),
    ("x.arc", "(def f (x) x)\n", "arc"),
    ("x.cdl", "arch arm11\nobjects {\n}\n", "capdl"),
    ("x.cdl", "netcdf a {\n}\n", None),
    ("x.dot", "digraph a { b -> c }\n", "graphviz-dot"),
    ("x.i", "%module a\n%{\n%}\n", "swig"),
    ("x.js.in", "#ifdef A\nvar a = 1;\n#endif\n", "javascript-mozpreproc"),
    ("x.mac", "f(x) := x^2$\n", "maxima"),
    ("x.nu", '(load "a")\n(puts 1)\n', "nu"),
    ("x.nu", "def f [] { 1 }\n", None),  # Nushell
    ("x.odin", 'package main\nimport "core:fmt"\n', "odin"),
    ("x.w", "&ANALYZE-SUSPEND _VERSION\n", "openedge-abl"),
    ("x.asset", "%YAML 1.1\n%TAG !u! tag:unity3d.com\n", "unity3d-asset"),
    ("x.meta", "fileFormatVersion: 2\nguid: a\n", "unity3d-asset"),
    ("x.meta", "key = value\n", None),
    ("site.conf", "<VirtualHost *:80>\n</VirtualHost>\n", "apache-configuration"),
    ("site.conf", "server {\n  listen 80;\n}\n", "nginx-configuration-file"),
    ("site.conf", "a = 1\n", None),
    ("page.j2", "<div>{{ a }}</div>\n", "html-django"),
    ("app.ini.j2", "a = {{ b }}\n", None),
    ("x.vba", 'Attribute VB_Name = "A"\n', "visual-basic"),
    ("x.vba", '" Vimball Archiver\nUseVimball\nfinish\n', "viml"),
    ("x.idl", "interface A {\n  void f(in long a);\n};\n", "omg-interface-definition-language"),
    ("x.idl", "[Exposed=Window]\ninterface A {\n  attribute DOMString b;\n};\n", "web-idl"),
    ("x.hh", "class A {\n};\n", "cpp"),
    ("x.hh", "<?hh\nclass A {}\n", None),  # Hack
    ("x.scm", "(define (f x) x)\n", "scheme"),
    ("x.scm", "(identifier) @variable\n", None),  # queries of tree-sitter
    ("x.spin", "PUB main\n  repeat\n", "propeller-spin"),
    ("x.spin", "active proctype a() { skip }\n", None),
    ("x.vm", "#set($a = 1)\n$a\n", "velocity"),
    ("x.vm", "push constant 1\nadd\n", None),
    ("x.ch", "#xcommand A => B\n", "xbase"),
    ("x.run", "#!/bin/sh\nexit 0\n", "shell"),
    ("x.resource", "*** Keywords ***\nA\n", "robot-framework"),
]


@pytest.mark.parametrize(("path", "head", "language"), SAMPLES)
def test_by_content_where_languages_share_a_suffix(
    path: str, head: str, language: str | None
) -> None:
    assert name_of(path, head) == language


def test_languages_without_suffix_or_name_are_reached_by_content() -> None:
    found = {language for _, _, language in SAMPLES}
    for name, language in languages().items():
        assert language.suffixes or language.filenames or name in found, name


def test_every_suffix_with_patterns_has_at_least_one_that_can_match() -> None:
    for suffix, rules in _content().items():
        assert rules, suffix
        assert not any(
            pattern.search("") and number for number, (pattern, _) in enumerate(rules[:-1])
        )


_UNITS = (
    "class a ", "a(", "(", " ", "\t", "namespace ", "a::", "#include <", "foo(a) ", "\n", "a\n",
    " \n", "; \n", ";a\n(", "( ", ". ", "[a]", "{a", "$a$", "<", "a:", "a = ", "% ", "a,", "\\",
    "#a ", '"a"\n', "a b\n", "define new shared ", "_", "A-", "- ", "import ", "[ ", "a.", "%",
)  # fmt: skip


@pytest.mark.timeout(60)  # quadratic time would take many minutes
@pytest.mark.parametrize("unit", _UNITS)
def test_patterns_take_linear_time_on_hostile_heads(unit: str) -> None:
    for suffix in _content():
        detect(f"x{suffix}", unit * 40_000)
