import type { BatchLimits, PublishDriver } from '@melange/backend-kit';
import { MessageTooLargeError } from '@melange/core';
import type { RedisClient } from './client.ts';
import { prelude } from './topology/prelude.ts';
import { packedFields, toEntry } from './wire/entry.ts';
import { type ByteText, bytesOf, packedList, packedString } from './wire/packed.ts';

/**
 * Bounds of one script: other clients have their turn between two. Two are under way, so that Redis and this process work at the
 * same time; Redis runs them in order.
 */
const limits: BatchLimits = { maxMessages: 64, maxBytes: 4_194_304, maxUnderWay: 2, inOrder: true };
/** What a field costs a script besides its bytes, counted in bytes: the bound of the bytes bounds the number of fields, too. */
const fieldBytes = 256;

/** A message as the scripts take it. */
export interface OutgoingEntry {
  readonly manifest: ByteText;
  readonly packed: ByteText;
  readonly bytes: number;
}

/** queue, for each message: delay in ms, fields. */
const publishToQueue: string = `${prelude}
  if not exists(name) then return redis.error_reply('NOQUEUE no such queue') end
  local messages = cmsgpack.unpack(ARGV[2])
  for index = 1, #messages, 2 do add(name, tonumber(messages[index]), messages[index + 1]) end
  wake(name)`;

/** topic, for each message: manifest, fields. */
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
  local messages = cmsgpack.unpack(ARGV[2])
  for index = 1, #messages, 2 do
    for _, binding in ipairs(queues) do
      if binding[2] == nil or binding[2][messages[index]] then add(binding[1], 0, messages[index + 1]) end
    end
  end
  for _, binding in ipairs(queues) do wake(binding[1]) end`;

/** How messages are sent: a batch is one script, taken whole or not at all. */
export function publishing(client: RedisClient, maxMessageBytes: number): PublishDriver<OutgoingEntry> {
  return {
    encode(message) {
      const fields = toEntry(message);
      const contentBytes = fields[1]?.length ?? 0;
      if (contentBytes > maxMessageBytes)
        throw new MessageTooLargeError(
          `Message ${message.id} has ${contentBytes} bytes; at most ${maxMessageBytes} are taken.`,
        );
      const packed = packedFields(fields);
      const bytes = packed.length + fields.length * fieldBytes;
      return { manifest: bytesOf(message.manifest ?? ''), packed, bytes };
    },
    bytesOf: ({ bytes }) => bytes,
    limitsOf: () => limits,
    async send({ kind, name }, batch) {
      let messages = packedList(2 * batch.length);
      for (const { encoded, delayMs } of batch)
        messages +=
          packedString(kind === 'queue' ? String(Math.ceil(delayMs)) : encoded.manifest) + encoded.packed;
      await client.run(kind === 'queue' ? publishToQueue : publishToTopic, [
        name,
        Buffer.from(messages, 'latin1'),
      ]);
      return undefined;
    },
  };
}
