-- ARGV: how many records at most. Clears what is left in a house that the store has moved out of; answers whether
-- there may be more.
local name = redis.call('LINDEX', houses, 0)
if not name then return 0 end
enter(name)
local left = redis.call('ZRANGE', sessions, 0, ARGV[1] - 1)
for _, id in ipairs(left) do
  remove(id, redis.call('HGET', session_key(id), 'subject'))
end
if #left == 0 then redis.call('LPOP', houses) end
return 1
