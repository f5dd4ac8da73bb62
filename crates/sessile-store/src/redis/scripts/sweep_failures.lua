-- ARGV: the moment before which counters go, how many may stay.
local dropped = 0
local function drop(key, last)
  redis.call('DEL', base .. 'failure:' .. key)
  redis.call('ZREM', base .. 'failures', padded(last) .. ':' .. key)
  redis.call('ZREM', base .. 'failures_age', key)
  dropped = dropped + 1
end
for _, key in ipairs(redis.call('ZRANGEBYSCORE', base .. 'failures_age', '-inf', '(' .. ARGV[1])) do
  drop(key, redis.call('HGET', base .. 'failure:' .. key, 'last') or '0')
end
local excess = redis.call('ZCARD', base .. 'failures') - tonumber(ARGV[2])
if excess > 0 then
  for _, member in ipairs(redis.call('ZRANGE', base .. 'failures', 0, excess - 1)) do
    local key = string.sub(member, 22)
    drop(key, redis.call('HGET', base .. 'failure:' .. key, 'last') or '0')
  end
end
return dropped
