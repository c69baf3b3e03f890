import { mkdir, writeFile } from 'node:fs/promises';
import { dirname, relative } from 'node:path';
import { repository } from '../packaging/packages.ts';
import { apiEntries, apiReport } from './reports.ts';

for (const entry of apiEntries()) {
  await mkdir(dirname(entry.approved), { recursive: true });
  await writeFile(entry.approved, await apiReport(entry));
  console.log(relative(repository, entry.approved));
}
