-- ARGV: now, how many at most, the moment before which feed entries may go.
local now, limit, forget_before = ARGV[1], ARGV[2], tonumber(ARGV[3])
local dropped = 0
for _, id in ipairs(redis.call('ZRANGEBYSCORE', over, '-inf', now, 'LIMIT', 0, limit)) do
  local record = record_of(id)
  if not record then
    remove(id)
  elseif is_over(record, now) then
    remove(id, record[SUBJECT])
    dropped = dropped + 1
  end
end

-- Up to the first entry that is to be kept, whatever the times after it.
local from = '-'
while true do
  local entries = redis.call('XRANGE', feed, from, '+', 'COUNT', 100)
  if #entries == 0 then
    if from ~= '-' then redis.call('XTRIM', feed, 'MAXLEN', 0) end
    break
  end
  local kept
  for _, entry in ipairs(entries) do
    if tonumber(entry[2][2]) >= forget_before then kept = entry[1] break end
  end
  if kept then
    if kept ~= entries[1][1] or from ~= '-' then redis.call('XTRIM', feed, 'MINID', kept) end
    break
  end
  from = '(' .. entries[#entries][1]
end
return dropped
