import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import ts from 'typescript';
import { aligned } from '../../../packages/conformance/src/report/table.ts';
import { root } from './markdown-page.ts';

/** A field of an options interface, from its TSDoc. */
interface Field {
  readonly name: string;
  readonly type: string;
  readonly defaultValue: string;
  readonly meaning: string;
}

/** Interfaces of the packages' sources by name. */
export type Interfaces = ReadonlyMap<string, ts.InterfaceDeclaration>;

/** Reads every interface that the packages export. */
export async function readInterfaces(): Promise<Interfaces> {
  const interfaces = new Map<string, ts.InterfaceDeclaration>();
  for (const name of await readdir(join(root, 'packages'))) {
    const folder = join(root, 'packages', name, 'src');
    for (const file of await readdir(folder, { recursive: true })) {
      if (!file.endsWith('.ts')) continue;
      const source = ts.createSourceFile(
        file,
        await readFile(join(folder, file), 'utf8'),
        ts.ScriptTarget.Latest,
        true,
      );
      for (const statement of source.statements) {
        if (!ts.isInterfaceDeclaration(statement)) continue;
        if (!ts.getCombinedModifierFlags(statement)) continue;
        interfaces.set(statement.name.text, statement);
      }
    }
  }
  return interfaces;
}

/**
 * Fields of an interface, those that it inherits included, as a Markdown table.
 *
 * @throws Error when the interface is unknown, or a field says nothing of what it means.
 */
export function optionsTable(name: string, interfaces: Interfaces): string {
  const fields = fieldsOf(name, interfaces);
  const silent = fields.filter(({ meaning }) => meaning === '').map((field) => `${name}.${field.name}`);
  if (silent.length > 0) throw new Error(`TSDoc does not say what these mean: ${silent.join(', ')}.`);
  const rows = fields.map(({ name, type, defaultValue, meaning }) => [
    `\`${name}\``,
    code(type),
    defaultValue,
    meaning,
  ]);
  const head = ['option', 'type', 'default', 'meaning'];
  return aligned([head, head.map(() => '-'), ...rows]).join('\n');
}

function fieldsOf(name: string, interfaces: Interfaces): readonly Field[] {
  const declaration = interfaces.get(name);
  if (declaration === undefined) throw new Error(`No package exports an interface named ${name}.`);
  const inherited = (declaration.heritageClauses ?? []).flatMap(({ types }) =>
    types.flatMap(({ expression }) => fieldsOf(expression.getText(), interfaces)),
  );
  const all = [...declaration.members.filter(ts.isPropertySignature).map(fieldOf), ...inherited];
  // Two that it inherits from may have the same field.
  return all.filter((field, place) => all.findIndex(({ name }) => name === field.name) === place);
}

function fieldOf(member: ts.PropertySignature): Field {
  const [comment] = ts.getJSDocCommentsAndTags(member);
  const text = ts.getTextOfJSDocComment(comment?.comment)?.replaceAll(/\s+/g, ' ') ?? '';
  // The rest of the sentence: up to a full stop that ends one, not that of `0.5` or in `a.b`.
  const [sentence, defaultValue] = /Default: (.+?)\.(?=\s|$)/.exec(text) ?? [];
  const meaning = sentence === undefined ? text : text.replace(sentence, '').replaceAll(/\s+/g, ' ').trim();
  return {
    name: member.name.getText(),
    type: (member.type?.getText() ?? '').replaceAll(/\s+/g, ' ').replace(/ \| undefined$/, ''),
    defaultValue: member.questionToken === undefined ? '(required)' : (defaultValue ?? 'none'),
    meaning: cell(meaning),
  };
}

function code(type: string): string {
  return `\`${cell(type)}\``;
}

function cell(text: string): string {
  return text.replaceAll('|', '\\|');
}
