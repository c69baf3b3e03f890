import type { Behaviour } from '../behaviour.ts';

/** What a suite asks, as Markdown: a list for each group, in the order of the suite. */
export function behavioursList(list: readonly Behaviour<never>[]): string {
  const groups = new Map<string, string[]>();
  for (const { group, title } of list) {
    const lines = groups.get(group) ?? [];
    // A title is text: what looks like markup in it must not become some.
    lines.push(`- ${title.replaceAll(/[<*_]/g, String.raw`\$&`)}`);
    groups.set(group, lines);
  }
  return [...groups].map(([group, lines]) => `**${group}**\n\n${lines.join('\n')}`).join('\n\n');
}
