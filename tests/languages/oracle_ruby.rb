# What the files of a gem need, as Ruby itself sees it.
#
# Usage: ruby oracle_ruby.rb ROOT LIB MAIN...
#
# Requires MAIN with ROOT/LIB on the load path, and prints two kinds of lines:
# "require<TAB>source<TAB>target" for each literal require and its like that Ripper finds in a file
# below LIB, where Ruby's own load path leads to a file below ROOT; and
# "constant<TAB>source<TAB>target" for each constant used in a file, where the Ruby that runs says
# in which file it was defined.
require "ripper"

root = File.realpath(ARGV[0])
lib = File.join(root, ARGV[1])
$LOAD_PATH.unshift(lib)
ARGV.drop(2).each do |main|
  require main
rescue LoadError, StandardError => e
  warn(e.message)
end

REQUIRES = %w[require require_relative load autoload].freeze

def constant_path(node)
  case node[0]
  when :var_ref, :const_ref, :top_const_ref
    inner = node[1]
    inner.is_a?(Array) && inner[0] == :@const ? [inner[1]] : nil
  when :const_path_ref
    outer = constant_path(node[1])
    outer && [*outer, node[2][1]]
  end
end

def literal(node)
  return unless node.is_a?(Array)
  return node[1] if node[0] == :@tstring_content
  return if node[0] == :string_embexpr || node[0] == :binary || node[0] == :method_add_arg || node[0] == :call
  node.each { |child| found = literal(child); return found if found }
  nil
end

def walk(node, scope, found)
  return unless node.is_a?(Array)
  if node[0] == :class || node[0] == :module
    path = constant_path(node[1])
    walk(node[2], scope, found) if node[0] == :class
    inner = path ? [*scope, path.join("::")] : scope
    walk(node[-1], inner, found)
    return
  end
  if node[0] == :command && node[1][0] == :@ident && REQUIRES.include?(node[1][1])
    found << [:require, node[1][1], node[2]]
  elsif node[0] == :method_add_arg && node[1][0] == :fcall && REQUIRES.include?(node[1][1][1])
    found << [:require, node[1][1][1], node[2]]
  elsif (path = constant_path(node))
    found << [:constant, path, scope]
    return
  end
  node.each { |child| walk(child, scope, found) }
end

def resolved(path, scope)
  scope.length.downto(0) do |depth|
    outer = scope.take(depth).join("::")
    begin
      holder = outer.empty? ? Object : Object.const_get(outer)
      next unless holder.is_a?(Module) && holder.const_defined?(path[0], false)
      begin
        holder.const_get(path.join("::"))  # what is loaded on demand, is loaded now
      rescue NameError, LoadError
        nil
      end
      path.length.downto(1) do |length|
        place = holder.const_source_location(path.take(length).join("::"))
        return place[0] if place && place[0]
      end
      return nil
    rescue NameError, LoadError
      next
    end
  end
  nil
end

def required(kind, arguments, source, lib)
  texts = arguments.is_a?(Array) ? arguments : []
  strings = []
  collect = lambda do |node|
    next unless node.is_a?(Array)
    if node[0] == :string_literal
      strings << node
    else
      node.each(&collect)
    end
  end
  collect.call(texts)
  node = kind == "autoload" ? strings.last : strings.first
  return unless node && node[1][0] == :string_content && node[1].length == 2
  return unless node[1][1][0] == :@tstring_content
  name = node[1][1][1]
  bases = kind == "require_relative" ? [File.dirname(source)] : [lib, File.dirname(source)]
  tried = bases.flat_map { |base| [File.expand_path("#{name}.rb", base), File.expand_path(name, base)] }
  tried.find { |path| File.file?(path) }
end

out = []
Dir.glob(File.join(lib, "**", "*.rb")).sort.each do |source|
  tree = Ripper.sexp(File.read(source)) or next
  found = []
  walk(tree, [], found)
  found.each do |kind, one, other|
    target = kind == :require ? required(one, other, source, lib) : resolved(one, other)
    next unless target && target.start_with?(root + "/") && target != source
    out << [kind, source, target].map { |word| word.to_s.delete_prefix(root + "/") }.join("\t")
  end
end
puts out.uniq
