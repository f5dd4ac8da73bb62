-- ARGV: the id to begin after or '', how many at most. Answers each record with its rows.
local from = ARGV[1] == '' and '-' or '(' .. ARGV[1]
local limit = tonumber(ARGV[2])
local copies = {}
while #copies < limit do
  local ids = redis.call('ZRANGEBYLEX', sessions, from, '+', 'LIMIT', 0, limit - #copies)
  if #ids == 0 then break end
  for _, id in ipairs(ids) do
    local record = record_of(id)
    if record then copies[#copies + 1] = { record, rows_of(id) } end
  end
  from = '(' .. ids[#ids]
end
return copies
