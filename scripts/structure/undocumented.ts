import { readFileSync } from 'node:fs';
import { dirname, join, relative } from 'node:path';
import ts from 'typescript-api';

/** What a module exports and TSDoc does not describe, as `file: Name` and `file: Name.member`. */
export function undocumented(entry: string, root: string): readonly string[] {
  const found = new Set<string>();
  for (const { file, declaration } of exportsOf(entry)) {
    for (const name of missing(declaration)) found.add(`${relative(root, file)}: ${name}`);
  }
  return [...found];
}

interface Exported {
  readonly file: string;
  readonly declaration: ts.Node;
}

const parsed = new Map<string, ts.SourceFile>();

function parse(file: string): ts.SourceFile {
  const known = parsed.get(file);
  if (known !== undefined) return known;
  const source = ts.createSourceFile(file, readFileSync(file, 'utf8'), ts.ScriptTarget.Latest, true);
  parsed.set(file, source);
  return source;
}

function exportsOf(entry: string): readonly Exported[] {
  const found: Exported[] = [];
  for (const statement of parse(entry).statements) {
    if (
      ts.isExportDeclaration(statement) &&
      statement.exportClause &&
      ts.isNamedExports(statement.exportClause)
    ) {
      const from = statement.moduleSpecifier as ts.StringLiteral;
      // What another package has is described there.
      if (!from.text.startsWith('.')) continue;
      const file = join(dirname(entry), from.text);
      for (const { propertyName, name } of statement.exportClause.elements) {
        found.push(...named(file, (propertyName ?? name).text));
      }
    } else if (isExported(statement)) found.push(...declarationsIn(entry, statement));
  }
  return found;
}

function named(file: string, name: string): readonly Exported[] {
  const found = parse(file)
    .statements.flatMap((statement) => declarationsIn(file, statement))
    .filter(({ declaration }) => nameOf(declaration) === name);
  if (found.length === 0) throw new Error(`${file} does not declare ${name}`);
  return found;
}

function declarationsIn(file: string, statement: ts.Node): readonly Exported[] {
  if (!ts.isVariableStatement(statement)) return [{ file, declaration: statement }];
  return statement.declarationList.declarations.map((declaration) => ({ file, declaration }));
}

function missing(declaration: ts.Node): readonly string[] {
  const name = nameOf(declaration);
  const found = isDescribed(declaration) ? [] : [name];
  for (const member of membersOf(declaration)) {
    if (!isDescribed(member)) found.push(`${name}.${nameOf(member)}`);
  }
  return found;
}

function isDescribed(node: ts.Node): boolean {
  return ts
    .getJSDocCommentsAndTags(node)
    .some((doc) => ts.isJSDoc(doc) && (doc.comment ?? doc.tags) !== undefined);
}

/** Members that only this declaration can describe: those of a contract are described there. */
function membersOf(declaration: ts.Node): readonly ts.Node[] {
  if (ts.isInterfaceDeclaration(declaration)) return declaration.members;
  if (ts.isTypeAliasDeclaration(declaration)) {
    return ts.isTypeLiteralNode(declaration.type) ? declaration.type.members : [];
  }
  if (!ts.isClassDeclaration(declaration) || declaration.heritageClauses !== undefined) return [];
  return declaration.members.filter((member) => {
    const isHidden = member.name !== undefined && ts.isPrivateIdentifier(member.name);
    const isOurs =
      ts.getCombinedModifierFlags(member) & (ts.ModifierFlags.Private | ts.ModifierFlags.Protected);
    return !isHidden && !isOurs && !ts.isConstructorDeclaration(member);
  });
}

function nameOf(node: ts.Node): string {
  const { name } = node as { readonly name?: ts.Node };
  return name?.getText() ?? '(call)';
}

function isExported(node: ts.Node): boolean {
  return ts.canHaveModifiers(node) && (ts.getModifiers(node) ?? []).some(isExportKeyword);
}

function isExportKeyword({ kind }: ts.Node): boolean {
  return kind === ts.SyntaxKind.ExportKeyword;
}
