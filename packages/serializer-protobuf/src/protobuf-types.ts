import { existsSync } from 'node:fs';
import { resolve } from 'node:path';
import { MelangeError } from '@melange/core';
import protobuf from 'protobufjs';
import { BoundedReader } from './bounded-reader.ts';
import { type ProtobufCodec, type ProtobufType, protobufType } from './protobuf-type.ts';

/** Message types by their fully qualified name. Merge several by spreading them into a new `Map`. */
export type ProtobufTypes = ReadonlyMap<string, ProtobufType>;

/** Where `.proto` files are. */
export interface LoadProtoFilesOptions {
  /**
   * Folders in which imports are looked for, in this order, as `protoc -I` has them; files to load are looked for there
   * too. With them an import is not relative to the file that imports it. Google's well-known types need none. Default:
   * none: an import is relative to the file that imports it.
   */
  readonly includePaths?: readonly string[];
}

/**
 * The types of `.proto` files and of what they import.
 *
 * @throws MelangeError `CONFIGURATION` when a file cannot be found, read or parsed.
 */
export async function loadProtoFiles(
  files: string | readonly string[],
  { includePaths = [] }: LoadProtoFilesOptions = {},
): Promise<ProtobufTypes> {
  const root = new protobuf.Root();
  if (includePaths.length > 0) root.resolvePath = resolverOf(includePaths);
  try {
    await root.load(typeof files === 'string' ? files : [...files]);
  } catch (cause) {
    const looked = includePaths.length > 0 ? ` (include paths: ${includePaths.join(', ')})` : '';
    throw configuration(`a .proto file cannot be loaded${looked}`, cause);
  }
  return reflectedTypes(root);
}

/** Absolute paths: a file that is loaded and imported is one file. What is nowhere fails when it is read. */
function resolverOf(includePaths: readonly string[]): (origin: string, target: string) => string {
  return (origin, target) => {
    const included = includePaths.map((folder) => resolve(folder, target));
    const candidates = origin === '' ? [resolve(target), ...included] : included;
    return candidates.find((path) => existsSync(path)) ?? (candidates[0] as string);
  };
}

/**
 * The types of a JSON descriptor, as `pbjs -t json` writes it.
 *
 * @throws MelangeError `CONFIGURATION` when it is no descriptor.
 */
export function descriptorTypes(descriptor: protobuf.INamespace): ProtobufTypes {
  let root: protobuf.Root;
  try {
    root = protobuf.Root.fromJSON(descriptor);
  } catch (cause) {
    throw configuration('the descriptor cannot be read', cause);
  }
  return reflectedTypes(root);
}

/**
 * The types of a protobufjs namespace that the application loaded or built itself.
 *
 * @throws MelangeError `CONFIGURATION` when a type refers to one that is missing.
 */
export function reflectedTypes(root: protobuf.NamespaceBase): ProtobufTypes {
  const types = new Map<string, ProtobufType>();
  const visit = (object: protobuf.ReflectionObject): void => {
    if (object instanceof protobuf.Type) {
      const name = object.fullName.replace(/^\./, '');
      types.set(
        name,
        protobufType(name, object as unknown as ProtobufCodec, object.ctor.prototype as object),
      );
    }
    if (object instanceof protobuf.Namespace) object.nestedArray.forEach(visit);
  };
  try {
    root.resolveAll();
    visit(root);
  } catch (cause) {
    throw configuration('a type cannot be resolved', cause);
  }
  return types;
}

/**
 * The types of a static module, as `pbjs -t static-module` of protobufjs-cli 2 writes it. Needs no code
 * generation at run time.
 *
 * @param module what it exports: the root, a namespace, or the module itself.
 * @throws MelangeError `CONFIGURATION` when it holds no types, or was made for another copy of protobufjs.
 */
export function staticTypes(module: object): ProtobufTypes {
  const types = new Map<string, ProtobufType>();
  const seen = new Set<unknown>();
  const visit = (candidate: unknown): void => {
    if ((typeof candidate !== 'object' && typeof candidate !== 'function') || candidate === null) return;
    if (seen.has(candidate)) return;
    seen.add(candidate);
    if (isStaticClass(candidate)) {
      const url = candidate.getTypeUrl('');
      const name = url.slice(url.lastIndexOf('/') + 1);
      assertSameReader(name, candidate);
      types.set(name, protobufType(name, candidate, candidate.prototype as object));
    }
    for (const inner of Object.values(candidate)) visit(inner);
  };
  visit(module);
  if (types.size === 0) throw configuration('the static module holds no message types');
  return types;
}

type StaticClass = ProtobufCodec & (abstract new () => object) & { getTypeUrl(prefix: string): string };

function isStaticClass(candidate: object): candidate is StaticClass {
  const members = ['getTypeUrl', 'encode', 'decode', 'fromObject', 'toObject'];
  return typeof candidate === 'function' && members.every((name) => name in candidate);
}

/** Reading is bounded by a reader of our own, which only the same copy of protobufjs takes. */
function assertSameReader(name: string, codec: ProtobufCodec): void {
  const reader = new BoundedReader(Uint8Array.of(0x08), 0, false);
  try {
    codec.decode(reader);
  } catch (error) {
    // What a bounded reader says, and nobody else.
    if (error instanceof RangeError && error.message.includes('maxFields')) return;
    const advice = 'install one copy of protobufjs 8, and generate the module with protobufjs-cli 2';
    throw configuration(`the static type ${name} does not read with this protobufjs: ${advice}`, error);
  }
  throw configuration(`the static type ${name} is of an older protobufjs-cli: generate it with version 2`);
}

function configuration(problem: string, cause?: unknown): MelangeError {
  const reason = cause instanceof Error ? `: ${cause.message}` : '';
  return new MelangeError('CONFIGURATION', `ProtobufSerializer: ${problem}${reason}.`, { cause });
}
