-- ARGV: for each event its fields.
for place = 1, #ARGV, #EVENT do
  local seq = whole(redis.call('HINCRBY', store, 'last_event', 1))
  redis.call('XADD', base .. 'events', seq .. '-0', unpack(named(EVENT, ARGV, place)))
end
return 'OK'
