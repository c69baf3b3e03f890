import { consumeScripts } from '../consume/scripts.ts';
import { publishScripts } from '../publish/scripts.ts';
import { prelude } from '../topology/prelude.ts';
import { topologyScripts } from '../topology/scripts.ts';

/** Name of a script. */
export type ScriptName =
  | keyof typeof topologyScripts
  | keyof typeof publishScripts
  | keyof typeof consumeScripts;

/** The scripts, each of which Redis runs in one atomic step. */
export const scripts: Readonly<Record<ScriptName, string>> = {
  ...topologyScripts,
  ...publishScripts,
  ...consumeScripts,
};

/** The whole text of a script. */
export function textOf(name: ScriptName): string {
  return `${prelude}${scripts[name]}`;
}
