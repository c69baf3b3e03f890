import type { QueueOptions } from '@melange/core';
import type { QueuePlan } from '@melange/service';
import type { Connection, Connections } from '../connect/connections.ts';
import type { CommandContext } from '../context.ts';
import { exitCode, usageError } from '../exit-codes.ts';
import { harmless } from '../output/harmless.ts';
import type { Output } from '../output/output.ts';
import { type Difference, differencesOf } from '../plan-differences.ts';

interface Declared {
  readonly connection: Connection;
  readonly service: string;
  readonly plan: QueuePlan;
  readonly differences: readonly Difference[];
}

/** `plan`: what the services declare against what the brokers have. */
export async function plan({ connections, output }: CommandContext): Promise<number> {
  const declared = await declaredOf(await connections());
  show(output, declared);
  return declared.some(({ differences }) => differences.length > 0) ? exitCode.attention : exitCode.done;
}

/** `apply`: declares what is missing or different; with `remove`, also takes away what is not declared any more. */
export async function apply(
  { connections, output }: CommandContext,
  { yes = false, remove = false }: { readonly yes?: boolean; readonly remove?: boolean },
): Promise<number> {
  const all = await connections();
  const before = await declaredOf(all);
  if (!yes) {
    show(output, before);
    output.note('Nothing was changed. To do it: --yes');
    return exitCode.done;
  }
  if (before.some(({ differences }) => differences.some(({ kind }) => kind === 'conflict'))) {
    show(output, before);
    output.note('A conflict is yours to solve: nothing was changed.', 'bad');
    return exitCode.attention;
  }
  for (const { services, backend } of all.all)
    for (const { service, backendName } of services)
      for (const { name, backends } of service.plan.topics)
        if (backends.includes(backendName)) await backend.declareTopic(name);
  for (const { connection, plan, differences } of before) {
    const removes = remove && differences.some(({ kind }) => kind === 'undeclared');
    await connection.backend.declareQueue(plan.name, await optionsOf(connection, plan, removes));
  }
  const after = await declaredOf(all);
  show(output, after);
  const left = after.flatMap(({ differences }) => differences);
  if (left.length === 0) return exitCode.done;
  if (!remove && left.every(({ kind }) => kind === 'undeclared'))
    output.note(
      'What is not declared any more stays, for an older version may still want it: --remove takes it away.',
    );
  return exitCode.attention;
}

async function optionsOf({ backend }: Connection, plan: QueuePlan, removes: boolean): Promise<QueueOptions> {
  const { topics, filter, deadLetterQueue, settings } = plan;
  const found = removes ? await backend.describeQueue(plan.name) : undefined;
  const removeTopics = found?.topics?.filter((topic) => !topics.includes(topic)) ?? [];
  return {
    ...settings,
    topics,
    ...(filter !== undefined && { filter }),
    ...(deadLetterQueue !== undefined && { deadLetterQueue }),
    ...(removes && { removeTopics, replaceFilter: true }),
  };
}

async function declaredOf({ all, services }: Connections): Promise<readonly Declared[]> {
  if (services.length === 0)
    throw usageError('No service is declared: give "services" in melange.config.ts.');
  return Promise.all(
    all.flatMap((connection) =>
      connection.services.flatMap(({ service, backendName }) =>
        service.plan.queues
          .filter(({ backend }) => backend === backendName)
          .map(async (queue) => {
            const found = await connection.backend.describeQueue(queue.name);
            return {
              connection,
              service: service.name,
              plan: queue,
              differences: differencesOf(queue, found),
            };
          }),
      ),
    ),
  );
}

function show(output: Output, declared: readonly Declared[]): void {
  if (output.json) {
    output.data(
      declared.map(({ connection, service, plan: { name }, differences }) => ({
        service,
        backend: connection.name,
        queue: name,
        differences: differences.map(({ kind, text }) => ({ kind, text })),
      })),
    );
    return;
  }
  for (const {
    connection,
    service,
    plan: { name },
    differences,
  } of declared) {
    const title = harmless(`${service}: queue ${name} on ${connection.name}`);
    output.line(
      differences.length === 0
        ? `${output.tone('good', 'ok')}  ${title}`
        : `${output.tone('warning', '!!')}  ${title}`,
    );
    for (const { kind, text } of differences) output.line(`      ${kind.padEnd(10)}  ${harmless(text)}`);
  }
}
