import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { publicPackages } from './packages.ts';

/**
 * Writes into every package.json where its source is, from what the workflow that publishes it says of itself:
 * npm's provenance compares the two. In the repository the field is absent, so that a fork names itself.
 */
const { GITHUB_SERVER_URL: server, GITHUB_REPOSITORY: name } = process.env;
if (!server || !name) {
  console.error('Run by the release workflow: GITHUB_SERVER_URL and GITHUB_REPOSITORY are not set.');
  process.exit(2);
}
for (const { folder, path, manifest } of publicPackages(process.cwd())) {
  const repository = { type: 'git', url: `git+${server}/${name}.git`, directory: `packages/${folder}` };
  writeFileSync(join(path, 'package.json'), `${JSON.stringify({ ...manifest, repository }, null, 2)}\n`);
}
