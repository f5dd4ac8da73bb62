-- ARGV: id, now.
local key = base .. 'key:' .. ARGV[1]
local revoked_at = redis.call('HGET', key, 'revoked_at')
if not revoked_at then return 'none' end
if revoked_at ~= '' then return 'already' end
redis.call('HSET', key, 'revoked_at', ARGV[2])
append('keys_changed', '', '', ARGV[2])
return 'revoked'
