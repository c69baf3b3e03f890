import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, expect, it, vi } from 'vitest';
import { packAll } from '../../../scripts/packaging/packages.ts';
import { stranger } from '../../../scripts/packaging/stranger.ts';

// npm fetches what it has not seen before.
vi.setConfig({ testTimeout: 300_000, hookTimeout: 300_000 });

let folder: string;
let tarballs: ReadonlyMap<string, string>;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'melange-nestjs-'));
  tarballs = await packAll(folder);
});
afterAll(() => rm(folder, { recursive: true, force: true }));

const ours = [
  'core',
  'metrics',
  'service',
  'nestjs',
  'backend-kit',
  'backend-memory',
  'dedup-memory',
  'serializer-json',
];

it.each(['11', '12'])(
  'an application of NestJS %s in CommonJS, by tsc with its metadata, injects, guards, pipes, filters and drains',
  async (major) => {
    const nest = ['common', 'core', 'terminus'].map((name) => `@nestjs/${name}@${major}`);
    const others = ['rxjs@7', 'reflect-metadata@0.2', 'zod@4', 'typescript@5.9', '@types/node@20'];
    const packed = ours.map((name) => tarballs.get(`@melange/${name}`) as string);
    const project = await stranger([...packed, ...nest, ...others]);
    try {
      const source = fileURLToPath(new URL('stranger/application.cts', import.meta.url));
      await project.write('application.cts', await readFile(source, 'utf8'));
      const settings = ['--module', 'nodenext', '--target', 'es2022', '--lib', 'es2023,esnext.disposable'];
      const decorators = [
        '--experimentalDecorators',
        '--emitDecoratorMetadata',
        '--strict',
        '--types',
        'node',
      ];
      const compiler = 'node_modules/typescript/bin/tsc';
      const compile = [compiler, ...settings, ...decorators, '--skipLibCheck', 'false', 'application.cts'];
      expect(await project.run(process.execPath, ...compile)).toBe('');
      const lines = (await project.run(process.execPath, 'application.cjs')).trim().split('\n');
      expect(lines).toEqual([
        '"up"',
        'piped OrderPlaced as custom',
        'piped OrderPlaced as custom',
        'filtered no ledger',
        'billed 1, attempt 1, database open: true',
        'acknowledged 2',
      ]);
    } finally {
      await project.remove();
    }
  },
);
