-- ARGV: the fields of the key, the id the newest must have or ''.
local id, made = ARGV[1], ARGV[3]
local newest = redis.call('LINDEX', base .. 'keys', -1) or ''
if newest ~= ARGV[#KEY + 1] or redis.call('EXISTS', base .. 'key:' .. id) == 1 then return 0 end
put_key(ARGV)
append('keys_changed', '', '', made)
return 1
