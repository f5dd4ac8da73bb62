-- ARGV: key.
local known = redis.call('HMGET', base .. 'failure:' .. ARGV[1], 'count', 'first', 'last')
if known[1] then return known end
return nil
