<?php
// What PHP files declare and name, as PHP's own parser sees it (extension "ast"): one line of JSON
// for each path on standard input. A name is resolved by the rules of the manual's page "Name
// resolution rules"; functions come as the pair that PHP looks for in turn.

final class Reader
{
    private string $namespace = '';
    private array $imports = [];
    public array $classes = [];
    public array $functions = [];
    public array $named = [];
    public array $called = [];

    public function read(?ast\Node $node, bool $top): void
    {
        if ($node === null) {
            return;
        }
        switch ($node->kind) {
            case ast\AST_NAMESPACE:
                $this->namespace = $node->children['name'] ?? '';
                $this->imports = [];
                $this->read($node->children['stmts'], $top);
                return;
            case ast\AST_GROUP_USE:
                foreach ($node->children['uses']->children as $one) {
                    $this->import($one, $node->flags ?: $one->flags, $node->children['prefix'] . '\\');
                }
                return;
            case ast\AST_USE:
                foreach ($node->children as $one) {
                    $this->import($one, $node->flags, '');
                }
                return;
            case ast\AST_CLASS:
                if (!($node->flags & ast\flags\CLASS_ANONYMOUS)) {
                    $this->classes[] = $this->own($node->children['name']);
                }
                break;
            case ast\AST_FUNC_DECL:
                if ($top) {
                    $this->functions[] = strtolower($this->own($node->children['name']));
                }
                break;
            case ast\AST_CALL:
                $name = $node->children['expr'];
                if ($name instanceof ast\Node && $name->kind === ast\AST_NAME) {
                    $this->called[] = $this->pair($name);
                } else {
                    $this->read($name instanceof ast\Node ? $name : null, false);
                }
                $this->read($node->children['args'], false);
                return;
            case ast\AST_CONST:
                return;
            case ast\AST_NAME:
                $this->named[] = [$this->whole($node), 'use'];
                return;
        }
        $top = $top && $node->kind === ast\AST_STMT_LIST;
        foreach ($node->children as $child) {
            if ($child instanceof ast\Node) {
                $this->read($child, $top);
            }
        }
    }

    private function import(ast\Node $one, int $flags, string $prefix): void
    {
        $name = strtolower(ltrim($prefix . $one->children['name'], '\\'));
        $alias = strtolower($one->children['alias'] ?? substr(strrchr("\\$name", '\\'), 1));
        $this->imports[$flags][$alias] = $name;
        if ($flags === ast\flags\USE_NORMAL) {
            $this->named[] = [$name, 'import'];
        } elseif ($flags === ast\flags\USE_FUNCTION) {
            $this->called[] = [$name, $name];
        }
    }

    private function own(string $name): string
    {
        return $this->namespace === '' ? $name : "$this->namespace\\$name";
    }

    private function whole(ast\Node $node): string
    {
        $name = $node->children['name'];
        if ($node->flags === ast\flags\NAME_FQ) {
            return strtolower($name);
        }
        $parts = explode('\\', $name, 2);
        $known = $this->imports[ast\flags\USE_NORMAL][strtolower($parts[0])] ?? null;
        if ($node->flags === ast\flags\NAME_RELATIVE || $known === null) {
            return strtolower($this->own($name));
        }
        return strtolower($known . (isset($parts[1]) ? "\\$parts[1]" : ''));
    }

    private function pair(ast\Node $node): array
    {
        $name = strtolower($node->children['name']);
        if ($node->flags !== ast\flags\NAME_NOT_FQ || str_contains($name, '\\')) {
            return [$this->whole($node), $this->whole($node)];
        }
        $known = $this->imports[ast\flags\USE_FUNCTION][$name] ?? null;
        return $known === null ? [strtolower($this->own($name)), $name] : [$known, $known];
    }
}

while (($path = fgets(STDIN)) !== false) {
    $path = rtrim($path, "\n");
    $reader = new Reader();
    try {
        $reader->read(ast\parse_file($path, 80), true);
        $found = ['path' => $path, 'classes' => $reader->classes, 'functions' => $reader->functions,
            'named' => $reader->named, 'called' => $reader->called];
    } catch (Throwable $error) {
        $found = ['path' => $path, 'error' => $error->getMessage()];
    }
    echo json_encode($found, JSON_INVALID_UTF8_SUBSTITUTE), "\n";
}
