import { readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { Application } from 'typedoc';
import { root } from '../markdown-page.ts';

/** Writes one Markdown page for each package, from the TSDoc of what it exports. */
export async function stageApi(folder: string): Promise<void> {
  const packages = await readdir(join(root, 'packages'));
  const application = await Application.bootstrapWithPlugins({
    plugin: ['typedoc-plugin-markdown', 'typedoc-vitepress-theme'],
    entryPoints: packages.map((name) => join(root, 'packages', name, 'src/index.ts')),
    tsconfig: join(root, 'tsconfig.json'),
    // `pnpm typecheck` looks for errors, with the compiler that the packages are built with.
    skipErrorChecking: true,
    excludeInternal: true,
    excludePrivate: true,
    excludeExternals: true,
    disableSources: true,
    readme: 'none',
    logLevel: 'Warn',
    name: 'API',
    validation: false,
    out: folder,
    docsRoot: join(folder, '..'),
    router: 'module',
    entryFileName: 'index',
    hideBreadcrumbs: true,
    hidePageHeader: true,
    parametersFormat: 'table',
    interfacePropertiesFormat: 'table',
    propertyMembersFormat: 'table',
    typeAliasPropertiesFormat: 'table',
  } as Parameters<typeof Application.bootstrapWithPlugins>[0]);
  const project = await application.convert();
  if (project === undefined) throw new Error('TypeDoc could not read the packages.');
  for (const module of project.children ?? []) module.name = module.name.replace(/\/src$/, '');
  await application.generateOutputs(project);
  for (const name of packages) {
    const page = join(folder, `${name}.md`);
    const text = await readFile(page, 'utf8');
    await writeFile(page, text.replace(`# ${name}\n`, `# @melange/${name}\n`));
  }
  if (application.logger.hasErrors()) throw new Error('TypeDoc reported errors.');
}
