-- What maps take of memory, in MB resident at most: mapmemory.lua into|stream|numbers|nothing, the last two being the
-- array alone and not even that.
local what = arg[1]
local name = (what == "into" or what == "numbers") and "10^7 numbers into an array" or "imap, generator of 10^6 items"

if what == "into" then comm:map(math.sqrt, 10 ^ 7, {into = array.zeros(10 ^ 7)})
elseif what == "numbers" then array.zeros(10 ^ 7):fill(1)
elseif what == "stream" then
    local k, sum = 0, 0
    for _, x in comm:imap(math.sqrt, function () if k < 10 ^ 6 then k = k + 1 return k end end) do sum = sum + x end
end

for line in io.lines "/proc/self/status" do
    local kilobytes = line:match "^VmHWM:%s*(%d+)"
    if kilobytes then print(name, kilobytes / 1024) end
end
