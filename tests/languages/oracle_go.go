// The edges between the Go files of a folder tree, as go/types resolves their names.
//
// Usage: go run oracle_go.go FOLDER MODULE
//
// Prints "source<TAB>target" for each pair of files where the first uses a name that the second
// declares at the top of its package. Packages outside the module are taken to be empty; the type
// errors that follow from it don't matter, as names of packages are resolved nonetheless.
package main

import (
	"bufio"
	"fmt"
	"go/ast"
	"go/build"
	"go/parser"
	"go/token"
	"go/types"
	"os"
	"path/filepath"
	"sort"
	"strings"
)

type oracle struct {
	root, module string
	files        *token.FileSet
	known        map[string]*types.Package
	edges        map[string]bool
}

func (o *oracle) Import(path string) (*types.Package, error) {
	if known, ok := o.known[path]; ok {
		return known, nil
	}
	rest := strings.TrimPrefix(path, o.module)
	if path == o.module || strings.HasPrefix(rest, "/") && rest != path {
		folder := filepath.Join(o.root, rest)
		if found, err := build.ImportDir(folder, 0); err == nil || found != nil && len(found.GoFiles) > 0 {
			return o.check(path, folder, append(found.GoFiles, found.CgoFiles...), true), nil
		}
	}
	name := path[strings.LastIndex(path, "/")+1:]
	empty := types.NewPackage(path, name)
	empty.MarkComplete()
	o.known[path] = empty
	return empty, nil
}

func (o *oracle) check(path, folder string, names []string, keep bool) *types.Package {
	if keep {
		o.known[path] = types.NewPackage(path, "cycle")
	}
	var parsed []*ast.File
	for _, name := range names {
		file, _ := parser.ParseFile(o.files, filepath.Join(folder, name), nil, 0)
		if file != nil {
			parsed = append(parsed, file)
		}
	}
	info := &types.Info{Uses: map[*ast.Ident]types.Object{}}
	config := types.Config{Importer: o, FakeImportC: true, Error: func(error) {}}
	checked, _ := config.Check(path, o.files, parsed, info)
	for ident, object := range info.Uses {
		pkg := object.Pkg()
		if pkg == nil || object.Parent() != pkg.Scope() {
			continue
		}
		source := o.files.Position(ident.Pos()).Filename
		target := o.files.Position(object.Pos()).Filename
		if source != target && target != "" {
			o.edges[o.relative(source)+"\t"+o.relative(target)] = true
		}
	}
	if keep {
		o.known[path] = checked
	}
	return checked
}

func (o *oracle) relative(path string) string {
	found, _ := filepath.Rel(o.root, path)
	return filepath.ToSlash(found)
}

func main() {
	root, _ := filepath.Abs(os.Args[1])
	o := &oracle{root, os.Args[2], token.NewFileSet(), map[string]*types.Package{}, map[string]bool{}}
	filepath.Walk(root, func(folder string, entry os.FileInfo, err error) error {
		if err != nil || !entry.IsDir() {
			return nil
		}
		if name := entry.Name(); folder != root && (name == "vendor" || name == "testdata" || name[0] == '.' || name[0] == '_') {
			return filepath.SkipDir
		}
		path := o.module
		if folder != root {
			path += "/" + o.relative(folder)
		}
		found, _ := build.ImportDir(folder, 0)
		if found == nil {
			return nil
		}
		names := append(append([]string{}, found.GoFiles...), found.CgoFiles...)
		if len(names) > 0 {
			o.Import(path)
		}
		plain := o.known[path]
		if len(found.TestGoFiles) > 0 {
			o.known[path] = o.check(path, folder, append(names, found.TestGoFiles...), false)
		}
		if len(found.XTestGoFiles) > 0 {
			o.check(path+"_test", folder, found.XTestGoFiles, false)
		}
		if plain != nil {
			o.known[path] = plain
		}
		return nil
	})
	var lines []string
	for line := range o.edges {
		lines = append(lines, line)
	}
	sort.Strings(lines)
	out := bufio.NewWriter(os.Stdout)
	defer out.Flush()
	for _, line := range lines {
		fmt.Fprintln(out, line)
	}
}
