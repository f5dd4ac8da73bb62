-- ARGV: key, now. Counters are ranked by count and time for the sweep; `failures_age` finds the old ones.
local key, now = ARGV[1], ARGV[2]
local counter = base .. 'failure:' .. key
local known = redis.call('HMGET', counter, 'count', 'first', 'last')
local count, first, last = 0, now, now
if known[1] then
  redis.call('ZREM', base .. 'failures', padded(known[3]) .. ':' .. key)
  count, first, last = tonumber(known[1]), known[2], later(known[3], now)
end
count = whole(math.min(count + 1, 4294967295))
redis.call('HSET', counter, 'count', count, 'first', first, 'last', last)
redis.call('ZADD', base .. 'failures', count, padded(last) .. ':' .. key)
redis.call('ZADD', base .. 'failures_age', last, key)
return { count, first, last }
