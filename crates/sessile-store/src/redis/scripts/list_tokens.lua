-- ARGV: session.
local rows = {}
for _, member in ipairs(redis.call('ZRANGE', tokens_key(ARGV[1]), 0, -1)) do
  rows[#rows + 1] = fields_of(token_key(string.sub(member, 22)), TOKEN)
end
return rows
