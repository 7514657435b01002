-- Names that somebody may have meant.
-- require "mpi.near" (word, names) → list of those that come near the word, the nearest first.

local ENOUGH = 12 -- names

-- How many characters must be put in, left out or replaced, or two neighbours exchanged, to make b of a.
local function distance(a, b)
    local older, above = nil, {}
    for j = 0, #b do above[j] = j end
    for i = 1, #a do
        local row = {[0] = i}
        for j = 1, #b do
            local same = a:byte(i) == b:byte(j)
            row[j] = math.min(above[j] + 1, row[j - 1] + 1, above[j - 1] + (same and 0 or 1))
            if older and j > 1 and a:byte(i) == b:byte(j - 1) and a:byte(i - 1) == b:byte(j) then
                row[j] = math.min(row[j], older[j - 2] + 1)
            end
        end
        older, above = above, row
    end
    return above[#b]
end

-- What comes behind the last point counts: of "comm.alreduce" it is "alreduce".
local function member(name) return name:lower():match("[^.]*$") end

return function (word, names)
    local wanted, found, order = member(word), {}, {}
    if wanted == "" then return found end
    local allowed = #wanted < 3 and 0 or #wanted < 6 and 1 or #wanted < 8 and 2 or 3
    for i, name in ipairs(names) do
        local known = member(name)
        local far = math.abs(#known - #wanted) <= allowed and distance(wanted, known) or math.huge
        if far > allowed then -- one in the other
            local at = known:find(wanted, 1, true)
            if at and at > 1 and #wanted < 3 then at = nil end
            at = at or #known > 3 and wanted:find(known, 1, true)
            far = at and allowed + at or math.huge
        end
        if far < math.huge and not order[name] then
            found[#found + 1] = name
            order[name] = {far, i}
        end
    end
    table.sort(found, function (a, b)
        local x, y = order[a], order[b]
        return x[1] < y[1] or x[1] == y[1] and x[2] < y[2]
    end)
    return table.move(found, 1, math.min(#found, ENOUGH), 1, {})
end
