-- ARGV: name, since when or ''.
local key = base .. 'account:' .. ARGV[1]
if redis.call('EXISTS', key) == 0 then return 'none' end
redis.call('HSET', key, 'disabled_at', ARGV[2])
return 'changed'
