import { shortened } from './shortened.ts';

/** A path for error messages: `items[0].price`; the whole value is `(root)`. */
export function pathText(path: readonly PropertyKey[]): string {
  let text = '';
  for (const key of path) {
    if (typeof key === 'number') text += `[${key}]`;
    else text += text === '' ? String(key) : `.${String(key)}`;
  }
  return text === '' ? '(root)' : shortened(text);
}
