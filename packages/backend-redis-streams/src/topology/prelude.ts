/** The consumer group of every queue. */
export const group = 'melange';
/** Owner of what was given back: whoever takes next takes it first. */
export const nobody = 'nobody';

/**
 * What every script begins with: Redis runs a script whole or not at all. All keys begin with `KEYS[1]`, whose braces keep
 * them in one slot. The first parameter is the queue or topic.
 */
export const prelude: string = `
local prefix, name = KEYS[1], ARGV[1]
local function queueKey(queue) return prefix .. ':queue:' .. queue end
local function streamKey(queue) return prefix .. ':stream:' .. queue end
local function delayedKey(queue) return prefix .. ':delayed:' .. queue end
local function topicKey(topic) return prefix .. ':topic:' .. topic end
local function topicsOf(queue)
  local topics = {}
  for _, field in ipairs(redis.call('HKEYS', queueKey(queue))) do
    local topic = string.match(field, '^topic:(.*)$')
    if topic then topics[#topics + 1] = topic end
  end
  return topics
end
local function exists(queue) return redis.call('EXISTS', queueKey(queue)) == 1 end
-- Where the user may not, subscribers look for themselves: what was written stays so.
local function wake(queue) redis.pcall('PUBLISH', prefix .. ':wake:' .. queue, '') end
local function now()
  local time = redis.call('TIME')
  return time[1] * 1000 + math.floor(time[2] / 1000)
end
local function pendingIn(first, last, max, consumer)
  local found = redis.pcall('XPENDING', streamKey(name), '${group}', first, last, max, consumer)
  return found.err and {} or found
end
local function pendingOf(id, consumer) return pendingIn(id, id, 1, consumer)[1] end
-- Redis gives members of one score in the order of their bytes: the ticket makes that the order in which they were written.
local function later(queue, due, fields)
  local ticket = string.format('%016.0f', redis.call('INCR', prefix .. ':ticket'))
  redis.call('ZADD', delayedKey(queue), due, cmsgpack.pack({ticket, fields}))
end
-- Lua hands at most some 8,000 values to a command: entries of more are packed before they come here.
local function add(queue, delay, fields)
  if delay > 0 then later(queue, now() + delay, fields) else redis.call('XADD', streamKey(queue), '*', unpack(fields)) end
end
local function finish(...)
  redis.call('XACK', streamKey(name), '${group}', ...)
  redis.call('XDEL', streamKey(name), ...)
end
`;
