import { group, nobody, prelude } from './prelude.ts';

/**
 * queue, dead-letter queue or '', manifests as JSON or '*', whether they replace those of before, number of the following
 * topics, topics, topics to remove… Answers what stays though this declaration does not name it: topics, manifests, and
 * whether all manifests. Where the queue has another dead-letter queue, answers that one and changes nothing.
 */
export const declareQueue: string = `${prelude}
  local function make(queue, deadLetterQueue)
    redis.call('HSET', queueKey(queue), 'deadLetterQueue', deadLetterQueue)
    redis.pcall('XGROUP', 'CREATE', streamKey(queue), '${group}', '0', 'MKSTREAM')
  end
  local deadLetterQueue, filter, replaces, lastTopic = ARGV[2], ARGV[3], ARGV[4] == '1', 5 + tonumber(ARGV[5])
  local keepsAll, manifests, named = 0, {}, {}
  local function widened(bound)
    if bound == '*' and filter ~= '*' then keepsAll = 1 end
    if bound == '*' or filter == '*' then return '*' end
    local both, known = cjson.decode(filter), {}
    for _, manifest in ipairs(both) do known[manifest] = true end
    for _, manifest in ipairs(cjson.decode(bound)) do
      -- Services declare whenever they start: what is there already must not be added every time.
      if not known[manifest] then
        both[#both + 1] = manifest
        manifests[#manifests + 1] = manifest
      end
    end
    return #both == 0 and '[]' or cjson.encode(both)
  end
  if exists(name) then
    local declared = redis.call('HGET', queueKey(name), 'deadLetterQueue')
    if declared ~= deadLetterQueue then return declared end
  end
  if deadLetterQueue ~= '' and not exists(deadLetterQueue) then make(deadLetterQueue, '') end
  make(name, deadLetterQueue)
  for index = 6, lastTopic do
    local topic = ARGV[index]
    named[topic] = true
    local bound = redis.call('HGET', topicKey(topic), 'queue:' .. name)
    local wanted = (bound and not replaces) and widened(bound) or filter
    redis.call('HSET', topicKey(topic), 'topic', '1', 'queue:' .. name, wanted)
    redis.call('HSET', queueKey(name), 'topic:' .. topic, '1')
  end
  for index = lastTopic + 1, #ARGV do
    redis.call('HDEL', topicKey(ARGV[index]), 'queue:' .. name)
    redis.call('HDEL', queueKey(name), 'topic:' .. ARGV[index])
  end
  local topics = {}
  for _, topic in ipairs(topicsOf(name)) do
    if not named[topic] then topics[#topics + 1] = topic end
  end
  -- Whoever waits for it to be there again.
  wake(name)
  return {topics, manifests, keepsAll}`;

/** topic */
export const declareTopic: string = `${prelude}
  redis.call('HSET', topicKey(name), 'topic', '1')`;

/**
 * queue; answers whether it exists, how many wait, its dead-letter queue or '', how many are handed out, its topics and
 * in turn the manifests that it wants of each, as JSON or '*'.
 */
export const describeQueue: string = `${prelude}
  if not exists(name) then return {0, 0, '', 0, {}, {}} end
  local summary = redis.call('XPENDING', streamKey(name), '${group}')
  local handedOut = summary[1]
  for _, owner in ipairs(summary[4] or {}) do
    if owner[1] == '${nobody}' then handedOut = handedOut - owner[2] end
  end
  local topics, filters = topicsOf(name), {}
  for index, topic in ipairs(topics) do
    filters[index] = redis.call('HGET', topicKey(topic), 'queue:' .. name) or '[]'
  end
  local waiting = redis.call('XLEN', streamKey(name)) - handedOut
  return {1, waiting, redis.call('HGET', queueKey(name), 'deadLetterQueue'), handedOut, topics, filters}`;

/** queue */
export const deleteQueue: string = `${prelude}
  for _, topic in ipairs(topicsOf(name)) do redis.call('HDEL', topicKey(topic), 'queue:' .. name) end
  redis.call('DEL', queueKey(name), streamKey(name), delayedKey(name))
  wake(name)`;

/** topic */
export const deleteTopic: string = `${prelude}
  for _, field in ipairs(redis.call('HKEYS', topicKey(name))) do
    local queue = string.match(field, '^queue:(.*)$')
    if queue then redis.call('HDEL', queueKey(queue), 'topic:' .. name) end
  end
  redis.call('DEL', topicKey(name))`;
