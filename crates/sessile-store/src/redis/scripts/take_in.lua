-- ARGV: the move, then each item: its kind, how many values follow, the values. A session's values are those of its record
-- and then those of its rows.
if phase() ~= 'filling' or redis.call('HGET', store, 'move') ~= ARGV[1] then return 'refused' end

local function some(values, from, many)
  local part = {}
  for place = 1, many do part[place] = values[from + place - 1] end
  return part
end

local place = 2
while place <= #ARGV do
  local kind, many = ARGV[place], tonumber(ARGV[place + 1])
  local values = some(ARGV, place + 2, many)
  if kind == 'session' or kind == 'no_session' then
    remove(values[1], redis.call('HGET', session_key(values[1]), 'subject'))
    if kind == 'session' then
      local record = some(values, 1, #FIELDS)
      put(record)
      for row = #FIELDS + 1, many, #TOKEN do put_token(some(values, row, #TOKEN), record) end
    end
  elseif kind == 'account' or kind == 'no_account' then
    remove_account(values[1])
    if kind == 'account' then put_account(values) end
  else
    remove_keys()
    for key = 1, many, #KEY do put_key(some(values, key, #KEY)) end
  end
  place = place + 2 + many
end
return 'taken'
