-- ARGV: id.
local row = fields_of(token_key(ARGV[1]), TOKEN)
if not row then return 0 end
redis.call('DEL', token_key(ARGV[1]))
redis.call('ZREM', tokens_key(row[2]), padded(row[4]) .. ':' .. ARGV[1])
return 1
