-- Walks a file of cookies, one request for each line, and begins anew at its end. wrk runs this.
--   WALK_COOKIES  the file
--   WALK_HOST     the Host field
--   WALK_PAUSE    milliseconds that a connection pauses before each request, on the average; without it, not at all

local requests, at = {}, 0

function init()
  for cookies in io.lines(os.getenv("WALK_COOKIES")) do
    requests[#requests + 1] = wrk.format("GET", "/api/notes", { Host = os.getenv("WALK_HOST"), Accept = "application/json", Cookie = cookies })
  end
end

function request()
  at = at % #requests + 1
  return requests[at]
end

-- Exponential pauses: requests arrive as from many people who do not know of each other.
local pause = tonumber(os.getenv("WALK_PAUSE"))
if pause then
  function delay()
    return math.floor(-math.log(1 - math.random()) * pause + 0.5)
  end
end

function done(summary, latency)
  local errors = summary.errors
  io.write(string.format(
    '\nWALKED {"requests":%d,"micros":%d,"failures":%d,"statuses":%d,"p50":%d,"p99":%d,"longest":%d}\n',
    summary.requests, summary.duration, errors.connect + errors.read + errors.write + errors.timeout, errors.status,
    latency:percentile(50), latency:percentile(99), latency.max))
end
