import { asyncApiOf } from '../asyncapi.ts';
import type { CommandContext } from '../context.ts';
import { exitCode, usageError } from '../exit-codes.ts';

/** `asyncapi`: the document of one service. */
export async function asyncapi(
  { connections, output }: CommandContext,
  { documentVersion }: { readonly documentVersion: string },
  name?: string,
): Promise<number> {
  const { services } = await connections();
  const names = services.map((service) => service.name).join(', ');
  const found = name === undefined ? services : services.filter((service) => service.name === name);
  const [service, ...others] = found;
  if (service === undefined)
    throw usageError(
      name === undefined
        ? 'No service is declared in the config.'
        : `No service is named "${name}": there is ${names}.`,
    );
  if (others.length > 0) throw usageError(`Say which service: ${names}.`);
  output.data(asyncApiOf(service, documentVersion));
  return exitCode.done;
}
