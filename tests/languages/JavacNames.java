import com.sun.source.tree.CompilationUnitTree;
import com.sun.source.tree.IdentifierTree;
import com.sun.source.tree.MemberSelectTree;
import com.sun.source.tree.Tree;
import com.sun.source.util.JavacTask;
import com.sun.source.util.SourcePositions;
import com.sun.source.util.TreePath;
import com.sun.source.util.TreePathScanner;
import com.sun.source.util.Trees;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeSet;
import javax.lang.model.element.Element;
import javax.lang.model.element.TypeElement;
import javax.tools.Diagnostic;
import javax.tools.DiagnosticCollector;
import javax.tools.JavaCompiler;
import javax.tools.JavaFileObject;
import javax.tools.StandardJavaFileManager;
import javax.tools.ToolProvider;

/**
 * The types that javac resolves the names of source files to.
 *
 * <p>Arguments: a class path ("" for none), then a file that lists source files, one a line.
 * Prints "source TAB target" where a name written in the source stands for a type declared in the
 * target, and "! TAB source TAB message" for the first error of a file.
 */
public class JavacNames {
  public static void main(String[] arguments) throws Exception {
    JavaCompiler compiler = ToolProvider.getSystemJavaCompiler();
    DiagnosticCollector<JavaFileObject> diagnostics = new DiagnosticCollector<>();
    StandardJavaFileManager manager = compiler.getStandardFileManager(null, null, null);
    List<String> options = new ArrayList<>(List.of("-proc:none", "-nowarn", "-encoding", "UTF-8"));
    options.addAll(List.of("-Xmaxerrs", "100000", "--should-stop=ifError=FLOW"));
    options.addAll(List.of("-classpath", arguments[0]));
    JavacTask task =
        (JavacTask)
            compiler.getTask(
                null,
                manager,
                diagnostics,
                options,
                null,
                manager.getJavaFileObjectsFromPaths(
                    Files.readAllLines(Path.of(arguments[1])).stream().map(Path::of).toList()));
    List<CompilationUnitTree> units = new ArrayList<>();
    task.parse().forEach(units::add);
    task.analyze();
    Map<String, String> errors = new HashMap<>();
    for (Diagnostic<? extends JavaFileObject> one : diagnostics.getDiagnostics()) {
      if (one.getKind() == Diagnostic.Kind.ERROR && one.getSource() != null) {
        String message = one.getMessage(null).replaceAll("\\s+", " ");
        errors.putIfAbsent(one.getSource().getName(), one.getCode() + " " + message);
      }
    }
    errors.forEach((path, message) -> System.out.println("!\t" + path + "\t" + message));
    Trees trees = Trees.instance(task);
    for (CompilationUnitTree unit : units) {
      Set<String> found = new TreeSet<>();
      new Names(trees, unit, found).scan(new TreePath(unit), null);
      String source = unit.getSourceFile().getName();
      found.forEach(target -> System.out.println(source + "\t" + target));
    }
  }

  private static final class Names extends TreePathScanner<Void, Void> {
    private final Trees trees;
    private final CompilationUnitTree unit;
    private final CharSequence text;
    private final Set<String> found;

    Names(Trees trees, CompilationUnitTree unit, Set<String> found) throws Exception {
      this.trees = trees;
      this.unit = unit;
      this.text = unit.getSourceFile().getCharContent(true);
      this.found = found;
    }

    @Override
    public Void visitIdentifier(IdentifierTree tree, Void unused) {
      if (stands(tree, tree.getName().toString(), true)) {
        add(trees.getElement(getCurrentPath()));
      }
      return super.visitIdentifier(tree, unused);
    }

    @Override
    public Void visitMemberSelect(MemberSelectTree tree, Void unused) {
      if (stands(tree, tree.getIdentifier().toString(), false)) {
        add(trees.getElement(getCurrentPath()));
      }
      return super.visitMemberSelect(tree, unused);
    }

    /** Whether the name stands in the text there: javac writes inferred types into its trees. */
    private boolean stands(Tree tree, String name, boolean atStart) {
      SourcePositions positions = trees.getSourcePositions();
      long start = positions.getStartPosition(unit, tree);
      long end = positions.getEndPosition(unit, tree);
      if (start < 0 || end < 0 || end > text.length()) {
        return false;
      }
      long at = atStart ? start : end - name.length();
      return at >= start && text.subSequence((int) at, (int) end).toString().startsWith(name);
    }

    private void add(Element element) {
      if (element instanceof TypeElement) {
        TreePath path = trees.getPath(element);
        if (path != null) {
          found.add(path.getCompilationUnit().getSourceFile().getName());
        }
      }
    }
  }
}
