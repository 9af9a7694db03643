-- The count of one limit for one subject: counts what a gateway reports, and grants it a lease.
--
-- KEYS[1]  the count: {u = used, t = up to when it has drained (µs), w = first second of its window, h = holders}
--          a holder is {lease, until when (µs), sum of its reports, what of lapsed leases was counted as used, number of its last report}
-- ARGV     1 holder, 2 number of the report, 3 sum of its reports, 4 the sum it knows to be counted,
--          5 lease it keeps, 6 lease it needs, 7 what its other calls wait for, 8 what it wants in advance, 9 time to live (µs),
--          10 kind: r(ate), w(indow), c(oncurrent), 11 capacity, 12 and 13: drains this much in so many µs, or: the window's seconds
-- Answers  {1 granted or 0 refused or 2 another window or 3 an old report, lease, free, used, leased, holders, now (µs)}
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local me = ARGV[1]
local n = {}
for i = 2, 13 do n[i] = tonumber(ARGV[i]) or ARGV[i] end
local kind, capacity, first, second = ARGV[10], n[11], n[12], n[13]
local raw = redis.call('GET', KEYS[1])
local count = raw and cmsgpack.unpack(raw)

-- the clocks of gateways follow this one, but for the time that an answer takes
if kind == 'w' and (now < first * 1000000 - 10000 or now >= second * 1000000 + 10000 or (count and count.w > first)) then
  return {2, 0, 0, 0, 0, 0, now}
end
if not count or (kind == 'w' and count.w ~= first) then
  count = {u = 0, t = now, w = first, h = {}}
end
if kind == 'r' and now > count.t then
  count.u = math.max(0, count.u - (now - count.t) * first / second)
  count.t = now
end

-- a lease that has lapsed may have been used, all of it; calls in progress have ended with their gateway
local leased, holders = 0, 0
for id, holder in pairs(count.h) do
  if holder[2] <= now then
    if kind ~= 'c' then
      count.u = count.u + holder[1]
      holder[4] = holder[4] + holder[1]
    end
    holder[1] = 0
    if id ~= me and holder[2] + 60000000 <= now then count.h[id] = nil end
  elseif id ~= me and holder[1] > 0 then
    leased = leased + holder[1]
    holders = holders + 1
  end
end

local mine = count.h[me] or {0, 0, n[4], 0, 0}
if n[2] <= mine[5] then
  return {3, 0, 0, 0, 0, 0, now}
end
local used = n[3] - mine[3] - mine[4]
if kind == 'w' then
  count.u = math.max(0, count.u + used)
elseif kind == 'r' then
  -- what has lapsed drains already, and is not given back
  count.u = count.u + math.max(0, used)
end

-- what is needed is granted in whole; then what other calls wait for; and in advance a part of what is left
local lease, granted = n[5], 1
local free = capacity - count.u - leased - lease
if n[6] - lease <= free then
  local more = n[6] - lease
  more = more + math.max(0, math.min(n[7], math.floor(free - more)))
  more = more + math.max(0, math.min(n[8], math.floor((free - more) / (4 * (holders + 1)))))
  lease, free = lease + more, free - more
else
  granted = 0
end
count.h[me] = {lease, now + n[9], n[3], 0, n[2]}

-- it is needed until it has drained, and for as long as a holder may come back
local keep = n[9] / 1000 + 60000
if kind == 'r' then keep = keep + math.max(0, count.u) * second / first / 1000 end
if kind == 'w' then keep = keep + second * 1000 - now / 1000 end
redis.call('SET', KEYS[1], cmsgpack.pack(count), 'PX', string.format('%.0f', math.min(keep, 4e12)))
return {granted, lease, math.max(0, math.floor(free)), math.ceil(count.u), leased + lease, holders + 1, now}
