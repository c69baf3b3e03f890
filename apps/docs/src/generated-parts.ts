import { backendBehaviours } from '../../../packages/conformance/src/backend/check-backend.ts';
import { behavioursList } from '../../../packages/conformance/src/report/behaviours-list.ts';
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
  return text.replaceAll(part, (present, name: string, argument?: string) => {
    // Written by the runs against those versions, which need their brokers.
    if (name === 'versions') return present;
    const head = argument === undefined ? name : `${name}:${argument}`;
    return `<!-- ${head} -->\n\n${generated(name, argument, sources)}\n\n<!-- /${name} -->`;
  });
}

function generated(name: string, argument: string | undefined, sources: Sources): string {
  if (name === 'options' && argument !== undefined) return optionsTable(argument, sources.interfaces);
  if (name === 'benchmarks') return benchmarksTable(sources.benchmarks);
  if (name === 'packages') return packagesTable(sources.packages);
  if (name === 'capabilities') return capabilitiesTable(capabilitiesByName(sources.packages));
  if (name === 'behaviours') return behavioursList(backendBehaviours);
  throw new Error(`Nothing generates the part "${name}".`);
}
