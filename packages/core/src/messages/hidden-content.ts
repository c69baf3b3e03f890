/** What instances of a class hold outside of their own fields, where a serializer cannot see it. */
interface HiddenContent {
  /** Name of the native class at the root: the content of a `Map` or an `Error` is in no field. */
  readonly native: string | undefined;
  /** A private field or method, such as `#cents`. */
  readonly privateName: string | undefined;
  /** Accessors, and values of the prototype. */
  readonly inherited: readonly string[];
  /** Whether no class says what an instance has, as with iterators. */
  readonly isNameless: boolean;
}

const known = new WeakMap<object, HiddenContent>();

/**
 * Whether a value is a plain object, of this realm or another one.
 *
 * @param prototype of the value.
 */
export function isPlain(prototype: object | null): boolean {
  if (prototype === Object.prototype || prototype === null) return true;
  return Object.getPrototypeOf(prototype) === null && classOf(prototype)?.name === 'Object';
}

/**
 * What a serializer that writes the enumerable fields of an instance would leave out, in words that follow the name of its
 * class: `whose private #cents is in no field`, or nothing for a native class such as `Map`. `undefined` where the fields
 * are all there is; methods do not count. For authors of serializers, for objects that do not arrive as instances of
 * their class.
 */
export function hiddenContent(value: object): string | undefined {
  const prototype = Object.getPrototypeOf(value) as object | null;
  if (isPlain(prototype)) return undefined;
  const { native, privateName, inherited, isNameless } = describe(prototype as object);
  if (native !== undefined) return '';
  if (privateName !== undefined) return `whose private ${privateName} is in no field`;
  const lost = inherited.find((name) => !Object.hasOwn(value, name));
  if (lost !== undefined) return `whose "${lost}" is no field of the instance`;
  if (Object.keys(value).length > 0) return undefined;
  return isNameless || Reflect.ownKeys(value).length > 0 ? 'which has no fields' : undefined;
}

/**
 * Why instances of a class cannot be made from the fields of a message, without running its constructor: they have no
 * private fields, and are no `Map`. `undefined` where they can.
 */
export function whyNotRevived(prototype: object): string | undefined {
  const { native, privateName } = describe(prototype);
  if (native !== undefined) return `extends ${native}, whose content is in no field`;
  return privateName === undefined ? undefined : `has a private ${privateName}`;
}

function describe(prototype: object): HiddenContent {
  const seen = known.get(prototype);
  if (seen !== undefined) return seen;
  let native: string | undefined;
  let privateName: string | undefined;
  let isNameless = false;
  const inherited: string[] = [];
  for (let one: object | null = prototype; !isPlain(one); one = Object.getPrototypeOf(one) as object | null) {
    const fields = Object.getOwnPropertyDescriptors(one as object);
    const type = classOf(one as object);
    isNameless ||= type === undefined;
    const source = type === undefined ? '' : Function.prototype.toString.call(type);
    if (/\[native code\]\s*\}$/.test(source)) native ??= type?.name;
    else privateName ??= privateNameIn(source);
    for (const [name, { get, value, enumerable }] of Object.entries(fields)) {
      const isField = get !== undefined || (enumerable === true && typeof value !== 'function');
      if (isField && name !== 'constructor') inherited.push(name);
    }
  }
  const described = { native, privateName, inherited, isNameless };
  known.set(prototype, described);
  return described;
}

/**
 * The first private name of a class's instances. There is no other way to see one from outside. Compilers that lower
 * private names leave a call that registers the instance.
 */
function privateNameIn(source: string): string | undefined {
  const code = source.replace(/\/\*.*?\*\/|\/\/[^\n]*|(["'`])(?:\\.|(?!\1)[^\\])*\1/gs, '');
  const ofClass = new Set(
    Array.from(code.matchAll(/\bstatic\s+(?:(?:async|get|set)\s+)?[*\s]*(#[\w$]+)/g), ([, name]) => name),
  );
  for (const [name] of code.matchAll(/(?<=[\s.;{}(!*])#[\p{ID_Start}$_][\p{ID_Continue}$]*/gu)) {
    if (!ofClass.has(name)) return name;
  }
  const lowered = /\b_\w+\.(?:set|add)\(this\b|[pP]rivate\w*\(\s*this\b|(?:^|[{};\n])\s*accessor\s+[\w$[]/;
  return lowered.test(code) ? 'field' : undefined;
}

function classOf(prototype: object): { readonly name: string } | undefined {
  const type: unknown = Object.getOwnPropertyDescriptor(prototype, 'constructor')?.value;
  return typeof type === 'function' ? type : undefined;
}
