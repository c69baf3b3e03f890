import { WireHeader } from '@melange/core';

/** The consumer group of every queue. */
const group = 'melange';
/** Owner of what was given back: whoever takes next takes it first. */
const nobody = 'nobody';

/** What every script begins with. All keys begin with `KEYS[1]`, whose braces keep them in one slot. */
const prelude = `
local prefix, name = KEYS[1], ARGV[1]
local function queueKey(queue) return prefix .. ':queue:' .. queue end
local function streamKey(queue) return prefix .. ':stream:' .. queue end
local function delayedKey(queue) return prefix .. ':delayed:' .. queue end
local function topicKey(topic) return prefix .. ':topic:' .. topic end
local function exists(queue) return redis.call('EXISTS', queueKey(queue)) == 1 end
local function wake(queue) redis.call('PUBLISH', prefix .. ':wake:' .. queue, '') end
local function now()
  local time = redis.call('TIME')
  return time[1] * 1000 + math.floor(time[2] / 1000)
end
local function pendingOf(id, consumer)
  local found = redis.pcall('XPENDING', streamKey(name), '${group}', id, id, 1, consumer)
  if found.err then return nil end
  return found[1]
end
local function slice(first, count)
  local part = {}
  for index = first, first + count - 1 do part[#part + 1] = ARGV[index] end
  return part
end
local function finish(id)
  redis.call('XACK', streamKey(name), '${group}', id)
  redis.call('XDEL', streamKey(name), id)
end
`;

/** Name of a script. */
export type ScriptName =
  | 'declareQueue'
  | 'declareTopic'
  | 'describeQueue'
  | 'deleteQueue'
  | 'deleteTopic'
  | 'publishToQueue'
  | 'publishToTopic'
  | 'take'
  | 'pending'
  | 'acknowledge'
  | 'retry'
  | 'deadLetter'
  | 'release'
  | 'renew'
  | 'leave';

/** What Redis runs, each in one atomic step. The first argument is the queue or topic. */
export const scripts: Readonly<Record<ScriptName, string>> = {
  /** queue, dead-letter queue or '', manifests as JSON or '*', topics… */
  declareQueue: `
    local function make(queue, deadLetterQueue)
      redis.call('HSET', queueKey(queue), 'deadLetterQueue', deadLetterQueue)
      redis.pcall('XGROUP', 'CREATE', streamKey(queue), '${group}', '0', 'MKSTREAM')
    end
    local deadLetterQueue, filter = ARGV[2], ARGV[3]
    if exists(name) then
      local declared = redis.call('HGET', queueKey(name), 'deadLetterQueue')
      if declared ~= deadLetterQueue then return redis.error_reply('CONFLICT ' .. declared) end
    end
    if deadLetterQueue ~= '' and not exists(deadLetterQueue) then make(deadLetterQueue, '') end
    make(name, deadLetterQueue)
    for index = 4, #ARGV do
      local topic = ARGV[index]
      local bound = redis.call('HGET', topicKey(topic), 'queue:' .. name)
      local wanted = filter
      if bound == '*' then wanted = '*' end
      if bound and bound ~= '*' and filter ~= '*' then
        local both, known = cjson.decode(bound), {}
        for _, manifest in ipairs(both) do known[manifest] = true end
        -- Services declare whenever they start: what is there already must not be added every time.
        for _, manifest in ipairs(cjson.decode(filter)) do
          if not known[manifest] then both[#both + 1] = manifest end
        end
        wanted = cjson.encode(both)
      end
      redis.call('HSET', topicKey(topic), 'topic', '1', 'queue:' .. name, wanted)
      redis.call('HSET', queueKey(name), 'topic:' .. topic, '1')
    end`,

  /** topic */
  declareTopic: `redis.call('HSET', topicKey(name), 'topic', '1')`,

  /** queue; answers whether it exists, how many wait, and its dead-letter queue or ''. */
  describeQueue: `
    if not exists(name) then return {0, 0, ''} end
    local summary = redis.call('XPENDING', streamKey(name), '${group}')
    local waiting = redis.call('XLEN', streamKey(name)) - summary[1]
    for _, owner in ipairs(summary[4] or {}) do
      if owner[1] == '${nobody}' then waiting = waiting + owner[2] end
    end
    return {1, waiting, redis.call('HGET', queueKey(name), 'deadLetterQueue')}`,

  /** queue */
  deleteQueue: `
    for _, field in ipairs(redis.call('HKEYS', queueKey(name))) do
      local topic = string.match(field, '^topic:(.*)$')
      if topic then redis.call('HDEL', topicKey(topic), 'queue:' .. name) end
    end
    redis.call('DEL', queueKey(name), streamKey(name), delayedKey(name))
    wake(name)`,

  /** topic */
  deleteTopic: `
    for _, field in ipairs(redis.call('HKEYS', topicKey(name))) do
      local queue = string.match(field, '^queue:(.*)$')
      if queue then redis.call('HDEL', queueKey(queue), 'topic:' .. name) end
    end
    redis.call('DEL', topicKey(name))`,

  /** queue, then for each message: delay in ms, number of the following, fields and values… */
  publishToQueue: `
    if not exists(name) then return redis.error_reply('NOQUEUE no such queue') end
    local index = 2
    while index <= #ARGV do
      local delay, count = tonumber(ARGV[index]), tonumber(ARGV[index + 1])
      local fields = slice(index + 2, count)
      if delay > 0 then
        local ticket = redis.call('INCR', prefix .. ':ticket')
        redis.call('ZADD', delayedKey(name), now() + delay, cmsgpack.pack({tostring(ticket), fields}))
      else
        redis.call('XADD', streamKey(name), '*', unpack(fields))
      end
      index = index + 2 + count
    end
    wake(name)`,

  /** topic, then for each message: its manifest, number of the following, fields and values… */
  publishToTopic: `
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
        if binding[2] == nil or binding[2][manifest] then
          redis.call('XADD', streamKey(binding[1]), '*', unpack(fields))
        end
      end
      index = index + 2 + count
    end
    for _, binding in ipairs(queues) do wake(binding[1]) end`,

  /**
   * queue, consumer, most, lease in ms, whether to look for leases that ended. Answers what is taken, as id, number of
   * deliveries and fields, and the ms until something delayed is due, or -1.
   */
  take: `
    if not exists(name) then return redis.error_reply('NOQUEUE no such queue') end
    local stream, me, most, lease = streamKey(name), ARGV[2], tonumber(ARGV[3]), ARGV[4]
    local isFull = false
    for _, member in ipairs(redis.call('ZRANGEBYSCORE', delayedKey(name), '-inf', now(), 'LIMIT', 0, 256)) do
      local added = redis.pcall('XADD', stream, '*', unpack(cmsgpack.unpack(member)[2]))
      if type(added) == 'table' then
        -- A full Redis takes no entry. It has to give those that it has all the same: only that makes room.
        isFull = true
        break
      end
      redis.call('ZREM', delayedKey(name), member)
    end
    local taken = {}
    local function add(entry, deliveries) taken[#taken + 1] = {entry[1], deliveries, entry[2]} end
    for _, pending in ipairs(redis.call('XPENDING', stream, '${group}', '-', '+', most, '${nobody}')) do
      local deliveries = pending[4] + 1
      local entry = redis.call('XCLAIM', stream, '${group}', me, 0, pending[1], 'RETRYCOUNT', deliveries)[1]
      if entry then add(entry, deliveries) end
    end
    if ARGV[5] == '1' then
      local cursor = '0-0'
      repeat
        if #taken >= most then break end
        local found = redis.call('XAUTOCLAIM', stream, '${group}', me, lease, cursor, 'COUNT', most - #taken)
        for _, entry in ipairs(found[2]) do
          if entry then add(entry, redis.call('XPENDING', stream, '${group}', entry[1], entry[1], 1)[1][4]) end
        end
        cursor = found[1]
      until cursor == '0-0'
      for _, consumer in ipairs(redis.call('XINFO', 'CONSUMERS', stream, '${group}')) do
        local known = {}
        for index = 1, #consumer, 2 do known[consumer[index]] = consumer[index + 1] end
        local isGone = known.pending == 0 and known.idle > tonumber(lease) * 10
        if isGone and known.name ~= me then redis.call('XGROUP', 'DELCONSUMER', stream, '${group}', known.name) end
      end
    end
    if #taken < most then
      local new = redis.call('XREADGROUP', 'GROUP', '${group}', me, 'COUNT', most - #taken, 'STREAMS', stream, '>')
      if new then
        for _, entry in ipairs(new[1][2]) do add(entry, 1) end
      end
    end
    local next = redis.call('ZRANGE', delayedKey(name), 0, 0, 'WITHSCORES')[2]
    return {taken, next and not isFull and math.max(0, next - now()) or -1}`,

  /** queue, consumer: what it took and did not settle, as `take` answers it. */
  pending: `
    local found = {}
    for _, pending in ipairs(redis.call('XPENDING', streamKey(name), '${group}', '-', '+', 1000, ARGV[2])) do
      local entry = redis.call('XRANGE', streamKey(name), pending[1], pending[1])[1]
      if entry then found[#found + 1] = {entry[1], pending[4], entry[2]} end
    end
    return found`,

  /** queue, consumer, ids… */
  acknowledge: `
    for index = 3, #ARGV do
      if pendingOf(ARGV[index], ARGV[2]) then finish(ARGV[index]) end
    end`,

  /** queue, consumer, id, attempts made, delay in ms; fields and values of the copy where they are not those of the entry */
  retry: `
    local id, attempts, delay = ARGV[3], ARGV[4], tonumber(ARGV[5])
    if not pendingOf(id, ARGV[2]) then return end
    local entry = redis.call('XRANGE', streamKey(name), id, id)[1]
    if entry then
      local given = #ARGV > 5 and slice(6, #ARGV - 5) or entry[2]
      local fields, hasId = {}, false
      local function put(field, value)
        fields[#fields + 1] = field
        fields[#fields + 1] = value
      end
      for index = 1, #given, 2 do
        hasId = hasId or given[index] == '${WireHeader.messageId}'
        if given[index] ~= '${WireHeader.attempt}' then put(given[index], given[index + 1]) end
      end
      put('${WireHeader.attempt}', attempts)
      -- The copy is another entry: where another client gave no id, it is that of the first one.
      if not hasId then put('${WireHeader.messageId}', id) end
      if delay > 0 then
        redis.call('ZADD', delayedKey(name), now() + delay, cmsgpack.pack({id, fields}))
      else
        redis.call('XADD', streamKey(name), '*', unpack(fields))
      end
    end
    finish(id)
    wake(name)`,

  /** queue, consumer, id, dead-letter queue, fields and values… */
  deadLetter: `
    if not pendingOf(ARGV[3], ARGV[2]) then return end
    if not exists(ARGV[4]) then return redis.error_reply('NOQUEUE no such queue') end
    redis.call('XADD', streamKey(ARGV[4]), '*', unpack(slice(5, #ARGV - 4)))
    finish(ARGV[3])
    wake(ARGV[4])`,

  /** queue, consumer, deliveries to take back (0 or 1), ids… */
  release: `
    for index = 4, #ARGV do
      local pending = pendingOf(ARGV[index], ARGV[2])
      if pending then
        local deliveries = math.max(0, pending[4] - tonumber(ARGV[3]))
        local how = {'RETRYCOUNT', deliveries, 'JUSTID'}
        redis.call('XCLAIM', streamKey(name), '${group}', '${nobody}', 0, ARGV[index], unpack(how))
      end
    end
    wake(name)`,

  /** queue, consumer, ids…; answers those that are not this consumer's any more. */
  renew: `
    local lost = {}
    for index = 3, #ARGV do
      if pendingOf(ARGV[index], ARGV[2]) then
        redis.call('XCLAIM', streamKey(name), '${group}', ARGV[2], 0, ARGV[index], 'JUSTID')
      else
        lost[#lost + 1] = ARGV[index]
      end
    end
    return lost`,

  /** queue, consumer: forgets it, unless messages are pending, which would be forgotten with it. */
  leave: `
    local pending = redis.pcall('XPENDING', streamKey(name), '${group}', '-', '+', 1, ARGV[2])
    if not pending.err and #pending == 0 then
      redis.call('XGROUP', 'DELCONSUMER', streamKey(name), '${group}', ARGV[2])
    end`,
};

/** The whole text of a script. */
export function textOf(name: ScriptName): string {
  return `${prelude}${scripts[name]}`;
}
