-- ARGV: id.
return record_of(ARGV[1])
