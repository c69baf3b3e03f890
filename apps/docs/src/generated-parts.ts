import { capabilitiesTable } from '../../../packages/conformance/src/report/capabilities-table.ts';
import { type Benchmark, benchmarksOf, benchmarksTable } from './benchmarks-table.ts';
import type { MarkdownPage } from './markdown-page.ts';
import { type Interfaces, optionsTable, readInterfaces } from './options-table.ts';
import { capabilitiesByName, type Package, packagesTable, readPackages } from './packages-table.ts';

/** What parts are generated from. */
export interface Sources {
  readonly interfaces: Interfaces;
  readonly benchmarks: readonly Benchmark[];
  readonly packages: readonly Package[];
}

/** Reads the sources of the repository, whose Markdown files are given. */
export async function readSources(pages: readonly MarkdownPage[]): Promise<Sources> {
  return {
    interfaces: await readInterfaces(),
    benchmarks: benchmarksOf(pages),
    packages: await readPackages(),
  };
}

/** `<!-- name:argument -->`, what is generated, `<!-- /name -->`. */
const part = /<!-- (\w+)(?::(\w+))? -->\n[\s\S]*?<!-- \/\1 -->/g;

/** The text with its generated parts made anew from the sources. */
export function withGeneratedParts(text: string, sources: Sources): string {
  return text.replaceAll(part, (_, name: string, argument?: string) => {
    const head = argument === undefined ? name : `${name}:${argument}`;
    return `<!-- ${head} -->\n\n${generated(name, argument, sources)}\n\n<!-- /${name} -->`;
  });
}

function generated(name: string, argument: string | undefined, sources: Sources): string {
  if (name === 'options' && argument !== undefined) return optionsTable(argument, sources.interfaces);
  if (name === 'benchmarks') return benchmarksTable(sources.benchmarks);
  if (name === 'packages') return packagesTable(sources.packages);
  if (name === 'capabilities') return capabilitiesTable(capabilitiesByName(sources.packages));
  throw new Error(`Nothing generates the part "${name}".`);
}
