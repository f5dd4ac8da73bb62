-- ARGV: the position to read after, how many at most, then what this node knows of the feed.
local after, limit = ARGV[1], tonumber(ARGV[2])
local epoch = epoch_unless_regressed(3)
local first = redis.call('XRANGE', feed, '-', '+', 'COUNT', 1)[1]
local oldest = first and first[1] or whole(tonumber(head()) + 1)
local entries = {}
if limit > 0 then entries = redis.call('XRANGE', feed, '(' .. after .. '-0', '+', 'COUNT', limit) end
return { oldest, entries, phase(), standing(epoch) }
