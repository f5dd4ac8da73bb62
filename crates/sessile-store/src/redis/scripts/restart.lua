-- ARGV: the new epoch, reason, now.
begin_anew(ARGV[1], ARGV[2], ARGV[3])
return { standing(ARGV[1]) }
