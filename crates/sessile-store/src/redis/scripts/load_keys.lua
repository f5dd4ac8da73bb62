local found = {}
for _, id in ipairs(redis.call('LRANGE', base .. 'keys', 0, -1)) do
  found[#found + 1] = fields_of(base .. 'key:' .. id, KEY)
end
return found
