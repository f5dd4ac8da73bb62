-- ARGV: session.
return rows_of(ARGV[1])
