import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import {
  Extractor,
  ExtractorConfig,
  type ExtractorLogLevel,
  type ExtractorMessage,
} from '@microsoft/api-extractor';
import { publicPackages, repository } from '../packaging/packages.ts';

/** A public entry point of a package, and the file that holds its approved API. */
export interface ApiEntry {
  /** `core`, `core/adapter`: as it is imported, without the scope. */
  readonly name: string;
  /** Declarations that the build makes. */
  readonly declarations: string;
  /** Approved text. */
  readonly approved: string;
}

/** Every entry point of every published package. */
export function apiEntries(): readonly ApiEntry[] {
  return publicPackages().flatMap(({ folder, path, manifest }) =>
    Object.entries(manifest.exports ?? {}).flatMap(([subpath, source]) => {
      if (typeof source !== 'string' || !source.endsWith('.ts')) return [];
      const entry = subpath === '.' ? 'index' : subpath.slice(2);
      const declarations = join(path, source.replace('./src/', 'dist/').replace(/\.ts$/, '.d.ts'));
      const name = entry === 'index' ? folder : `${folder}/${entry}`;
      return [{ name, declarations, approved: join(path, 'api', `${entry.replaceAll('/', '-')}.api.md`) }];
    }),
  );
}

/** Names, signatures and options of an entry point as text. The packages must be built. */
export async function apiReport({ name, declarations }: ApiEntry): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'melange-api-'));
  const [packageFolder] = name.split('/') as [string];
  try {
    const result = Extractor.invoke(
      ExtractorConfig.prepare({
        configObjectFullPath: undefined,
        packageJsonFullPath: join(repository, 'packages', packageFolder, 'package.json'),
        configObject: {
          projectFolder: join(repository, 'packages', packageFolder),
          mainEntryPointFilePath: declarations,
          newlineKind: 'lf',
          compiler: { overrideTsconfig: compilerOptions() },
          apiReport: {
            enabled: true,
            reportFolder: folder,
            reportTempFolder: folder,
            reportFileName: 'report',
          },
          docModel: { enabled: false },
          dtsRollup: { enabled: false },
          tsdocMetadata: { enabled: false },
          messages: {
            compilerMessageReporting: { default: { logLevel: 'none' as ExtractorLogLevel } },
            extractorMessageReporting: { default: { logLevel: 'none' as ExtractorLogLevel } },
            tsdocMessageReporting: { default: { logLevel: 'none' as ExtractorLogLevel } },
          },
        },
      }),
      { localBuild: true, messageCallback: silence },
    );
    if (!result.succeeded) throw new Error(`${name}: the API report failed, are the packages built?`);
    return await readFile(join(folder, 'report.api.md'), 'utf8');
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

function silence(message: ExtractorMessage): void {
  message.logLevel = 'none' as ExtractorLogLevel;
}

function compilerOptions(): object {
  const paths = Object.fromEntries(
    apiEntries().map(({ name, declarations }) => [`@melange/${name}`, [declarations]]),
  );
  return {
    compilerOptions: {
      target: 'es2022',
      lib: ['es2023', 'esnext.disposable'],
      module: 'nodenext',
      moduleResolution: 'nodenext',
      strict: true,
      skipLibCheck: true,
      allowImportingTsExtensions: true,
      noEmit: true,
      types: ['node'],
      typeRoots: [join(repository, 'node_modules/@types')],
      paths,
    },
    include: ['dist'],
  };
}
