import { WireHeader } from '@melange/core';
import { group, nobody } from '../topology/prelude.ts';

type Name =
  | 'take'
  | 'held'
  | 'recover'
  | 'acknowledge'
  | 'retry'
  | 'deadLetter'
  | 'release'
  | 'renew'
  | 'leave';

/** Scripts that receive and settle. The first argument is the queue, the second the consumer of its group. */
export const consumeScripts: Readonly<Record<Name, string>> = {
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
      -- One that somebody trimmed away has no entry any more, and would be looked at for ever.
      if entry then add(entry, deliveries) else redis.call('XACK', stream, '${group}', pending[1]) end
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

  /** queue, consumer, last id of the answer before or '-'. Answers the next ids that it took and did not settle. */
  held: `
    local start = ARGV[3] == '-' and '-' or '(' .. ARGV[3]
    local ids = {}
    for _, pending in ipairs(redis.call('XPENDING', streamKey(name), '${group}', start, '+', 1000, ARGV[2])) do
      ids[#ids + 1] = pending[1]
    end
    return ids`,

  /** queue, consumer, ids… Renews those that are this consumer's, and answers them as `take` does. */
  recover: `
    local found = {}
    for index = 3, #ARGV do
      local pending = pendingOf(ARGV[index], ARGV[2])
      if pending then
        redis.call('XCLAIM', streamKey(name), '${group}', ARGV[2], 0, ARGV[index], 'JUSTID')
        local entry = redis.call('XRANGE', streamKey(name), ARGV[index], ARGV[index])[1]
        if entry then found[#found + 1] = {entry[1], pending[4], entry[2]} end
      end
    end
    return found`,

  /** queue, consumer, ids… */
  acknowledge: `
    for index = 3, #ARGV do
      if pendingOf(ARGV[index], ARGV[2]) then finish(ARGV[index]) end
    end`,

  /**
   * queue, consumer, id, failed attempts, redeliveries, delay in ms; fields and values of the copy where they are not those
   * of the entry
   */
  retry: `
    local id, delay = ARGV[3], tonumber(ARGV[6])
    local own = {['${WireHeader.attempt}'] = ARGV[4], ['${WireHeader.redeliveries}'] = ARGV[5]}
    if not pendingOf(id, ARGV[2]) then return end
    local entry = redis.call('XRANGE', streamKey(name), id, id)[1]
    if entry then
      local given = #ARGV > 6 and slice(7, #ARGV - 6) or entry[2]
      local fields, hasId = {}, false
      local function put(field, value)
        fields[#fields + 1] = field
        fields[#fields + 1] = value
      end
      for index = 1, #given, 2 do
        local isId = given[index] == '${WireHeader.messageId}'
        local isEmptyId = isId and given[index + 1] == ''
        hasId = hasId or (isId and not isEmptyId)
        if not own[given[index]] and not isEmptyId then put(given[index], given[index + 1]) end
      end
      for field, value in pairs(own) do
        if value ~= '0' then put(field, value) end
      end
      -- The copy is another entry: where another client gave no id, it is that of the first one.
      if not hasId then put('${WireHeader.messageId}', id) end
      if delay > 0 then
        later(name, now() + delay, fields)
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

  /** queue, consumer, owner from now on, deliveries to take back (0 or 1), ids… */
  release: `
    for index = 5, #ARGV do
      local pending = pendingOf(ARGV[index], ARGV[2])
      if pending then
        local deliveries = math.max(0, pending[4] - tonumber(ARGV[4]))
        local how = {'RETRYCOUNT', deliveries, 'JUSTID'}
        redis.call('XCLAIM', streamKey(name), '${group}', ARGV[3], 0, ARGV[index], unpack(how))
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
