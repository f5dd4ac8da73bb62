-- ARGV: key.
local counter = base .. 'failure:' .. ARGV[1]
local last = redis.call('HGET', counter, 'last')
if last then
  redis.call('DEL', counter)
  redis.call('ZREM', base .. 'failures', padded(last) .. ':' .. ARGV[1])
  redis.call('ZREM', base .. 'failures_age', ARGV[1])
end
return 'OK'
