import { createHash } from 'node:crypto';

/** What can be done to a key. */
export type OperationName = 'claim' | 'extend' | 'confirm' | 'release';

/** One step of the script. */
export interface Operation {
  readonly name: OperationName;
  readonly key: string;
  readonly fence: string;
  /** Lease of a claim or an extension, lifetime of a confirmed key; unused by a release. */
  readonly milliseconds: number;
  /** A claim that was sent before, under the same fence, and had no answer. */
  readonly isRepeated?: boolean;
}

/**
 * All four operations, on as many keys as there are: operations of one moment share a round trip and stay in
 * order. One script, so that there is one hash to lose and to load again.
 *
 * A key is a hash: `fence` names who claimed it, `claimed` is there until it is confirmed. A hash, because
 * removing a field and setting an expiry need no memory: what is under way can be confirmed, extended and released
 * while Redis is full. Only Redis's clock counts: lifetimes are given as durations.
 *
 * Every operation may be repeated with the same fence after a lost answer: the second time changes nothing.
 * The error of one key is the answer for that key alone.
 */
const lua = `
local answers = {}
for index, key in ipairs(KEYS) do
  local operation, fence, milliseconds = ARGV[index * 3 - 2], ARGV[index * 3 - 1], ARGV[index * 3]
  local entry = redis.pcall('HMGET', key, 'fence', 'claimed')
  local answer
  if entry.err then
    answer = 'error ' .. entry.err
  elseif operation == 'claim' then
    if entry[1] and not entry[2] then
      answer = 'done ' .. redis.call('PTTL', key)
    elseif entry[1] and entry[1] ~= fence then
      answer = 'held ' .. redis.call('PTTL', key)
    else
      local written = entry[1] or redis.pcall('HSET', key, 'fence', fence, 'claimed', '')
      if type(written) ~= 'table' then
        written = redis.pcall('PEXPIRE', key, milliseconds)
        -- A claim without an end would hold its message for ever.
        if type(written) == 'table' then redis.pcall('DEL', key) end
      end
      answer = type(written) == 'table' and 'error ' .. written.err or 'claimed'
    end
  elseif entry[1] ~= fence then
    answer = 'no'
  else
    local written
    if operation == 'confirm' then
      if entry[2] then
        written = redis.pcall('HDEL', key, 'claimed')
        if type(written) == 'number' then redis.call('PEXPIRE', key, milliseconds) end
      end
      answer = 'yes'
    elseif not entry[2] then
      answer = 'no'
    elseif operation == 'release' then
      written = redis.pcall('DEL', key)
      answer = 'yes'
    else
      if redis.call('PTTL', key) < tonumber(milliseconds) then
        written = redis.pcall('PEXPIRE', key, milliseconds)
      end
      answer = 'yes'
    end
    if type(written) == 'table' then answer = 'error ' .. written.err end
  end
  answers[index] = answer
end
return answers
`;

/** What ioredis's single and cluster clients have in common, as far as scripts need it. */
export interface ScriptRunner {
  evalsha(hash: string, keys: number, ...parameters: string[]): Promise<unknown>;
  eval(script: string, keys: number, ...parameters: string[]): Promise<unknown>;
}

const hash = createHash('sha1').update(lua).digest('hex');

/**
 * Runs the operations in one round trip, atomically, in order. By hash; the text follows where Redis does not know
 * it: at first, after `SCRIPT FLUSH`, and after a fail-over.
 */
export async function runScript(runner: ScriptRunner, operations: readonly Operation[]): Promise<string[]> {
  const keys: string[] = [];
  const rest: string[] = [];
  for (const { name, key, fence, milliseconds } of operations) {
    keys.push(key);
    rest.push(name, fence, String(milliseconds));
  }
  try {
    return (await runner.evalsha(hash, keys.length, ...keys, ...rest)) as string[];
  } catch (error) {
    if (!(error instanceof Error && error.message.startsWith('NOSCRIPT'))) throw error;
    return (await runner.eval(lua, keys.length, ...keys, ...rest)) as string[];
  }
}
