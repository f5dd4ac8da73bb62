-- ARGV: the name to begin after or '', how many at most.
local from = ARGV[1] == '' and '-' or '(' .. ARGV[1]
local found = {}
for _, name in ipairs(redis.call('ZRANGEBYLEX', base .. 'accounts', from, '+', 'LIMIT', 0, ARGV[2])) do
  found[#found + 1] = fields_of(base .. 'account:' .. name, ACCOUNT)
end
return found
