type Name = 'publishToQueue' | 'publishToTopic';

/** Scripts that publish. The first argument is the queue or topic. */
export const publishScripts: Readonly<Record<Name, string>> = {
  /** queue, then for each message: delay in ms, number of the following, fields and values… */
  publishToQueue: `
    if not exists(name) then return redis.error_reply('NOQUEUE no such queue') end
    local index = 2
    while index <= #ARGV do
      local delay, count = tonumber(ARGV[index]), tonumber(ARGV[index + 1])
      local fields = slice(index + 2, count)
      if delay > 0 then
        later(name, now() + delay, fields)
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
};
