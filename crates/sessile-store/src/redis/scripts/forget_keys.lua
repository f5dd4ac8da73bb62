-- ARGV: now, then the ids.
local newest = redis.call('LINDEX', base .. 'keys', -1)
local forgotten = 0
for place = 2, #ARGV do
  local id = ARGV[place]
  if id ~= newest and redis.call('LREM', base .. 'keys', 1, id) == 1 then
    redis.call('DEL', base .. 'key:' .. id)
    forgotten = forgotten + 1
  end
end
if forgotten > 0 then append('keys_changed', '', '', ARGV[1]) end
return forgotten
