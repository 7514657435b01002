-- What was entered in earlier sessions, in $XDG_STATE_HOME/luampi/history or ~/.local/state/luampi/history: a line of text
-- each, in which BREAK stands for the end of a line.
-- require "mpi.history" (makefolder) → object with entries() and add(entry); both do nothing where there is no such place.

local KEPT, BREAK = 5000, "\x1f"

local function place(makefolder)
    local state, home = os.getenv("XDG_STATE_HOME"), os.getenv("HOME")
    if not state or state:sub(1, 1) ~= "/" then
        if not home then return nil end
        state = home .. "/.local/state"
    end
    local folder = ""
    for part in (state .. "/luampi"):gmatch("[^/]+") do
        folder = folder .. "/" .. part
        if not makefolder(folder) then return nil end
    end
    return folder .. "/history"
end

return function (makefolder)
    local open, rename, remove = io.open, os.rename, os.remove
    local path = place(makefolder)
    local history = {}

    local function read()
        local file <close> = path and open(path, "r")
        local lines = {}
        if not file then return lines end
        for line in file:lines() do lines[#lines + 1] = line end
        if #lines <= KEPT then return lines end
        local kept = table.move(lines, #lines - KEPT + 1, #lines, 1, {})
        local new = path .. ".new"
        local shorter = #lines > 2 * KEPT and open(new, "w")
        if shorter then
            local fine = shorter:write(table.concat(kept, "\n"), "\n")
            if not (shorter:close() and fine and rename(new, path)) then remove(new) end
        end
        return kept
    end

    --- The entries that are kept, the oldest first. A file grown long is cut.
    function history.entries()
        local entries = read()
        for i, line in ipairs(entries) do entries[i] = line:gsub(BREAK, "\n") end
        return entries
    end

    --- Written at once, so that it is there however the session ends.
    function history.add(entry)
        local file <close> = path and open(path, "a")
        if file then file:write((entry:gsub("\n", BREAK)), "\n") end
    end

    return history
end
