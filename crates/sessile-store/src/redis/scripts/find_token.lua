-- ARGV: id.
local row = fields_of(token_key(ARGV[1]), TOKEN)
if not row then return nil end
local record = record_of(row[2])
if not record then return nil end
return { row, record }
