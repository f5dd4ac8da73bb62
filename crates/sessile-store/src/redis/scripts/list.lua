-- ARGV: the subject or '', the id to begin after or '', how many at most.
local index = ARGV[1] == '' and sessions or subject_key(ARGV[1])
local from = ARGV[2] == '' and '-' or '(' .. ARGV[2]
local limit = tonumber(ARGV[3])
local records = {}
while #records < limit do
  local ids = redis.call('ZRANGEBYLEX', index, from, '+', 'LIMIT', 0, limit - #records)
  if #ids == 0 then break end
  for _, id in ipairs(ids) do records[#records + 1] = record_of(id) end
  from = '(' .. ids[#ids]
end
return records
