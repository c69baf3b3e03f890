"""Prints every public class, method, function and option of the installed PyPI package `melange`, one a line.

`Class`, `Class.method`, `Class.method(option)`, `Class(option)` of its constructor, `function`, `function(option)`.
Options are parameters, what is read from `**kwargs` and other dictionaries by a constant key, and the top keys of
dictionaries in constants. A method that overrides one of a class of the package is left out, unless it has options of
its own. Private names and the package's own examples are left out.
"""

import ast
import importlib.util
import pathlib

package = pathlib.Path(importlib.util.find_spec("melange").origin).parent
classes = {}
functions = []
names = set()


def options_of(node):
    arguments = node.args
    found = [a.arg for a in arguments.posonlyargs + arguments.args + arguments.kwonlyargs]
    readable = {"kwargs", "config", "extra_attributes"} | {a.arg for a in [arguments.kwarg] if a}
    for inner in ast.walk(node):
        if isinstance(inner, ast.Call) and isinstance(inner.func, ast.Attribute) and inner.func.attr == "get":
            source, keys = inner.func.value, inner.args[:1]
        elif isinstance(inner, ast.Subscript):
            source, keys = inner.value, [inner.slice]
        elif isinstance(inner, ast.Compare) and isinstance(inner.ops[0], ast.In):
            source, keys = inner.comparators[0], [inner.left]
        else:
            continue
        if isinstance(source, ast.Name) and source.id in readable:
            found += [k.value for k in keys if isinstance(k, ast.Constant) and isinstance(k.value, str)]
    return [name for name in dict.fromkeys(found) if name not in ("self", "cls")]


for path in sorted(package.rglob("*.py")):
    if "examples" in path.relative_to(package).parts:
        continue
    for node in ast.parse(path.read_text()).body:
        if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
            classes[node.name] = node
        elif isinstance(node, ast.FunctionDef) and not node.name.startswith("_"):
            functions.append(node)
        elif isinstance(node, ast.Assign):
            for target in node.targets:
                if isinstance(target, ast.Name) and not target.id.startswith("_") and target.id != "logger":
                    names.add(target.id)
                    if isinstance(node.value, ast.Dict):
                        names |= {f"{target.id}({key.value})" for key in node.value.keys}


def keys_of(node):
    return {inner.value for inner in ast.walk(node) if isinstance(inner, ast.Constant)}


def hands_kwargs_to(helper, node):
    calls = [inner for inner in ast.walk(node) if isinstance(inner, ast.Call)]
    called = [c for c in calls if isinstance(c.func, ast.Attribute) and c.func.attr == helper]
    return any(keyword.arg is None for call in called for keyword in call.keywords)


def bases_of(node):
    for base in node.bases:
        name = base.value if isinstance(base, ast.Subscript) else base
        if isinstance(name, ast.Name) and name.id in classes:
            yield classes[name.id]
            yield from bases_of(classes[name.id])


def methods_of(node):
    return {m.name: m for m in node.body if isinstance(m, ast.FunctionDef)}


for name, node in classes.items():
    names.add(name)
    for method, definition in methods_of(node).items():
        overridden = [m[method] for m in map(methods_of, bases_of(node)) if method in m]
        known = {option for base in overridden for option in options_of(base)}
        own = [option for option in options_of(definition) if option not in known]
        if method == "__init__":
            names |= {f"{name}({option})" for option in options_of(definition)}
        elif not method.startswith("_") or method == "__contains__":
            if not overridden:
                names.add(f"{name}.{method}")
            names |= {f"{name}.{method}({option})" for option in own}
        else:
            # A private helper reads what a public method was given, where that hands its `**kwargs` on.
            for public, body in methods_of(node).items():
                if not public.startswith("_") and hands_kwargs_to(method, body):
                    names |= {f"{name}.{public}({option})" for option in own if option in keys_of(definition)}
for function in functions:
    names.add(function.name)
    names |= {f"{function.name}({option})" for option in options_of(function)}

print("\n".join(sorted(names)))
