import type { PublishDriver } from '@melange/backend-kit';
import { MessageTooLargeError } from '@melange/core';
import type { RedisClient, ScriptParameter } from './client.ts';
import { prelude } from './topology/prelude.ts';
import { type EntryFields, toEntry } from './wire.ts';

/** Bounds of one script: other clients have their turn between two. */
const maxMessages = 500;
const maxBytes = 4_194_304;
const maxParameters = 16_000;
/** Each parameter counts as at least so many bytes, so that the bound of the bytes bounds their number, too. */
const minParameterBytes = Math.ceil(maxBytes / maxParameters);

/** A message as the scripts take it. */
export interface OutgoingEntry {
  readonly manifest: string;
  readonly fields: EntryFields;
  readonly bytes: number;
}

/** queue, then for each message: delay in ms, number of the following, fields and values… */
const publishToQueue: string = `${prelude}
  if not exists(name) then return redis.error_reply('NOQUEUE no such queue') end
  local index = 2
  while index <= #ARGV do
    local count = tonumber(ARGV[index + 1])
    add(name, tonumber(ARGV[index]), slice(index + 2, count))
    index = index + 2 + count
  end
  wake(name)`;

/** topic, then for each message: its manifest, number of the following, fields and values… */
const publishToTopic: string = `${prelude}
  local bindings = redis.call('HGETALL', topicKey(name))
  if #bindings == 0 then return redis.error_reply('NOTOPIC no such topic') end
  local queues = {}
  for index = 1, #bindings, 2 do
    local queue = string.match(bindings[index], '^queue:(.*)$')
    if queue then
      local wanted = nil
      if bindings[index + 1] ~= '*' then
        wanted = {}
        for _, manifest in ipairs(cjson.decode(bindings[index + 1])) do wanted[manifest] = true end
      end
      queues[#queues + 1] = {queue, wanted}
    end
  end
  local index = 2
  while index <= #ARGV do
    local manifest, count = ARGV[index], tonumber(ARGV[index + 1])
    local fields = slice(index + 2, count)
    for _, binding in ipairs(queues) do
      if binding[2] == nil or binding[2][manifest] then add(binding[1], 0, fields) end
    end
    index = index + 2 + count
  end
  for _, binding in ipairs(queues) do wake(binding[1]) end`;

/** How messages are sent: a batch is one script, taken whole or not at all. */
export function publishing(client: RedisClient, maxMessageBytes: number): PublishDriver<OutgoingEntry> {
  return {
    encode(message) {
      const fields = toEntry(message);
      let bytes = 0;
      for (const field of fields) bytes += Math.max(Buffer.byteLength(field), minParameterBytes);
      const contentBytes = Buffer.byteLength(fields[1] as string | Buffer);
      if (contentBytes > maxMessageBytes)
        throw new MessageTooLargeError(
          `Message ${message.id} has ${contentBytes} bytes; at most ${maxMessageBytes} are taken.`,
        );
      return { manifest: message.manifest ?? '', fields, bytes };
    },
    bytesOf: ({ bytes }) => bytes,
    limitsOf: () => ({ maxMessages, maxBytes }),
    async send({ kind, name }, batch) {
      const parameters: ScriptParameter[] = [name];
      for (const { encoded, delayMs } of batch) {
        parameters.push(kind === 'queue' ? Math.ceil(delayMs) : encoded.manifest, encoded.fields.length);
        for (const field of encoded.fields) parameters.push(field);
      }
      await client.run(kind === 'queue' ? publishToQueue : publishToTopic, parameters);
      return undefined;
    },
  };
}
