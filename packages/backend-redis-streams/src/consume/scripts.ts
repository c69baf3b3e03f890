import { group, nobody, prelude } from '../topology/prelude.ts';

/**
 * queue, consumer, maximum, lease in ms, 1 to look for leases that ended, 1 to look for entries of this consumer beside
 * those that it knows, ids that it knows… Answers what is taken, packed as id, number of deliveries and fields: a client reads
 * that more quickly than a list of lists. Then the ms until something delayed is due, or -1.
 */
export const take: string = `${prelude}
  if not exists(name) then return redis.error_reply('NOQUEUE no such queue') end
  local stream, me, max, lease = streamKey(name), ARGV[2], tonumber(ARGV[3]), ARGV[4]
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
  local function add(entry, deliveries)
    taken[#taken + 1] = cmsgpack.pack(entry[1], tostring(deliveries), entry[2])
  end
  local function claim(id, deliveries)
    local entry = redis.call('XCLAIM', stream, '${group}', me, 0, id, 'RETRYCOUNT', deliveries)[1]
    -- One that somebody trimmed away has no entry any more, and would be looked at for ever.
    if entry then add(entry, deliveries) else redis.call('XACK', stream, '${group}', id) end
  end
  if ARGV[6] == '1' then
    local known, from, found = {}, '-', nil
    for index = 7, #ARGV do known[ARGV[index]] = true end
    repeat
      found = redis.call('XPENDING', stream, '${group}', from, '+', 1000, me)
      for _, pending in ipairs(found) do
        if #taken < max and not known[pending[1]] then claim(pending[1], pending[4]) end
        from = '(' .. pending[1]
      end
    until #found < 1000 or #taken >= max
  end
  if #taken < max then
    for _, pending in ipairs(redis.call('XPENDING', stream, '${group}', '-', '+', max - #taken, '${nobody}')) do
      claim(pending[1], pending[4] + 1)
    end
  end
  if ARGV[5] == '1' then
    local cursor = '0-0'
    repeat
      if #taken >= max then break end
      local found = redis.call('XAUTOCLAIM', stream, '${group}', me, lease, cursor, 'COUNT', max - #taken)
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
  if #taken < max then
    local new = redis.call('XREADGROUP', 'GROUP', '${group}', me, 'COUNT', max - #taken, 'STREAMS', stream, '>')
    if new then
      for _, entry in ipairs(new[1][2]) do add(entry, 1) end
    end
  end
  local next = redis.call('ZRANGE', delayedKey(name), 0, 0, 'WITHSCORES')[2]
  return {taken, next and not isFull and math.max(0, next - now()) or -1}`;

/** queue, consumer, ids… */
export const acknowledge: string = `${prelude}
  local isOurs, ids = {}, {}
  -- One look finds most: a consumer acknowledges the oldest of what it has.
  for _, pending in ipairs(pendingIn('-', '+', #ARGV, ARGV[2])) do isOurs[pending[1]] = true end
  for index = 3, #ARGV do
    if isOurs[ARGV[index]] or pendingOf(ARGV[index], ARGV[2]) then ids[#ids + 1] = ARGV[index] end
  end
  if #ids > 0 then finish(unpack(ids)) end`;

/** queue, consumer, id, queue of the copy, delay of it in ms, its fields. */
export const replace: string = `${prelude}
  local id, to = ARGV[3], ARGV[4]
  if not pendingOf(id, ARGV[2]) then return end
  if not exists(to) then return redis.error_reply('NOQUEUE no such queue') end
  add(to, tonumber(ARGV[5]), cmsgpack.unpack(ARGV[6]))
  finish(id)
  wake(to)`;

/** queue, consumer, deliveries to take back (0 or 1), ids… Whoever takes next takes them first. */
export const release: string = `${prelude}
  for index = 4, #ARGV do
    local pending = pendingOf(ARGV[index], ARGV[2])
    if pending then
      local deliveries = math.max(0, pending[4] - tonumber(ARGV[3]))
      local how = {'RETRYCOUNT', deliveries, 'JUSTID'}
      redis.call('XCLAIM', streamKey(name), '${group}', '${nobody}', 0, ARGV[index], unpack(how))
    end
  end
  wake(name)`;

/** queue, consumer, ids…; answers those that are not this consumer's any more. */
export const renew: string = `${prelude}
  local lost = {}
  for index = 3, #ARGV do
    if pendingOf(ARGV[index], ARGV[2]) then
      redis.call('XCLAIM', streamKey(name), '${group}', ARGV[2], 0, ARGV[index], 'JUSTID')
    else
      lost[#lost + 1] = ARGV[index]
    end
  end
  return lost`;

/** queue, consumer: forgets it, unless messages are pending, which would be forgotten with it. */
export const leave: string = `${prelude}
  local pending = redis.pcall('XPENDING', streamKey(name), '${group}', '-', '+', 1, ARGV[2])
  if not pending.err and #pending == 0 then
    redis.call('XGROUP', 'DELCONSUMER', streamKey(name), '${group}', ARGV[2])
  end`;
