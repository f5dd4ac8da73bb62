-- ARGV: the schema known here, an epoch in case there is none. Answers the schema and what is odd, or ''.
local known, fresh = tonumber(ARGV[1]), ARGV[2]
local schema = redis.call('HGET', store, 'schema')
if schema and tonumber(schema) > known then return { schema, '', '', '' } end

local odd = ''
local newest = head()
if redis.call('EXISTS', feed) == 1 then
  local info, last = redis.call('XINFO', 'STREAM', feed), nil
  for place = 1, #info, 2 do
    if info[place] == 'last-generated-id' then last = info[place + 1] end
  end
  if last ~= newest .. '-0' then odd = 'the feed ends at ' .. last .. ', the store counts ' .. newest end
elseif newest ~= '0' then
  odd = 'the feed is gone; the store counts ' .. newest .. ' entries'
end
if not redis.call('HGET', store, 'epoch')
  and (redis.call('EXISTS', feed) == 1 or newest ~= '0') then
  odd = 'the epoch is gone; other keys of the store are there'
end
if not schema or tonumber(schema) < known then redis.call('HSET', store, 'schema', ARGV[1]) end
return { ARGV[1], epoch_or(fresh), newest, odd }
