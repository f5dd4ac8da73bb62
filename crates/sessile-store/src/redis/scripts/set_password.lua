-- ARGV: name, the new hash, when the known password was set, now.
local key = base .. 'account:' .. ARGV[1]
local set_at = redis.call('HGET', key, 'password_set_at')
if not set_at then return 'none' end
if set_at ~= ARGV[3] then return 'meanwhile' end
redis.call('HSET', key, 'sealed', ARGV[2], 'password_set_at', ARGV[4])
return 'changed'
