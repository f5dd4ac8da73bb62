-- ARGV: 'after' or 'before', a place, how many at most. Events before a place come newest first.
if ARGV[1] == 'after' then
  return redis.call('XRANGE', base .. 'events', '(' .. ARGV[2] .. '-0', '+', 'COUNT', ARGV[3])
end
return redis.call('XREVRANGE', base .. 'events', '(' .. ARGV[2] .. '-0', '-', 'COUNT', ARGV[3])
