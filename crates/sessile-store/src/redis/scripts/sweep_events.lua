-- ARGV: the moment before which events go, how many may stay.
local events, before = base .. 'events', tonumber(ARGV[1])
local dropped = redis.call('XTRIM', events, 'MAXLEN', ARGV[2])
-- Clocks of nodes differ a little, so an old event may lie behind a newer one: look on until a hundred in a row stay.
local from = '-'
while true do
  local found = redis.call('XRANGE', events, from, '+', 'COUNT', 100)
  local old = {}
  for _, event in ipairs(found) do
    if tonumber(event[2][2]) < before then old[#old + 1] = event[1] end
  end
  if #old == 0 then break end
  dropped = dropped + redis.call('XDEL', events, unpack(old))
  from = '(' .. found[#found][1]
end
return dropped
