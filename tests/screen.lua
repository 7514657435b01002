-- A terminal for tests that sit at one: a shell in tmux, in a folder of its own for its history.
--   local screen = dofile "tests/screen.lua"
--   screen(function (s)
--       s:type("luampi -n 2\n")   the keys; \n is Enter
--       s:key("C-c", "Up")        by tmux's names
--       s:expect("[0-1] 4")       waits until the text stands on the screen
--   end)
local LIMIT = 10 -- seconds that a text may need to appear on a busy machine

local function output_of(command)
    local pipe <close> = assert(io.popen(command))
    return pipe:read("a")
end

local function quoted(text) return "'" .. text:gsub("'", "'\\''") .. "'" end

local screen = {}
screen.__index = screen

function screen:tmux(...)
    return output_of(("tmux -L %s %s 2>&1"):format(self.name, table.concat({...}, " ")))
end

--- The lines of the screen, without empty ones at the end; also those that have scrolled away.
function screen:text()
    return (self:tmux("capture-pane -p -S - -t test"):gsub("%s+$", ""))
end

function screen:type(text)
    for line, enter in text:gmatch("([^\n]*)(\n?)") do
        if line ~= "" then self:tmux("send-keys -t test -l --", quoted(line)) end
        if enter ~= "" then self:key("Enter") end
    end
end

function screen:key(...) self:tmux("send-keys -t test", ...) end

--- As the terminal pastes it.
function screen:paste(text)
    local path = self.folder .. "/paste"
    local file = assert(io.open(path, "w"))
    file:write(text)
    file:close()
    self:tmux("load-buffer", path)
    self:tmux("paste-buffer -p -t test")
end

-- Waits until the test of what is on the screen holds.
local function wait(self, holds, what)
    local shown
    for _ = 1, LIMIT * 20 do
        shown = self:text()
        if holds(shown) then return end
        os.execute "sleep 0.05"
    end
    error(("not on the screen: %s\n--- the screen\n%s\n---"):format(what, shown), 3)
end

--- Waits until the text stands on the screen, `count` times if given.
function screen:expect(text, count)
    wait(self, function (shown)
        local found, at = 0, 1
        while true do
            local first, last = shown:find(text, at, true)
            if not first then return found >= (count or 1) end
            found, at = found + 1, last + 1
        end
    end, text)
end

--- The screen must be without the text now.
function screen:refuse(text)
    local shown = self:text()
    if shown:find(text, 1, true) then error(("on the screen: %s\n--- the screen\n%s\n---"):format(text, shown), 2) end
end

--- Clears the screen but for the line of a prompt.
function screen:clear()
    self:key("C-l")
    wait(self, function ()
        self:tmux("clear-history -t test")
        return not self:text():find("\n")
    end, "one line alone")
end

--- Runs a command in the shell and waits for its end.
function screen:shell(command)
    self.count = (self.count or 0) + 1
    self:type(("%s; echo done $((%d + 0))\n"):format(command, 1000 + self.count))
    self:expect("done " .. 1000 + self.count)
end

--- The terminal's settings, from a shell at its prompt.
function screen:settings()
    local path = self.folder .. "/settings"
    self:shell("stty -a >" .. path)
    local file <close> = assert(io.open(path))
    return file:read("a")
end

return function (test)
    local folder = output_of("mktemp -d"):gsub("\n", "")
    local self = setmetatable({folder = folder, name = "luampi-" .. folder:match("[%w]+$")}, screen)
    local shell = ("cd %s; export XDG_STATE_HOME=%s PS1=%s OMPI_MCA_odls_base_sigkill_timeout=0; exec timeout --foreground 60 bash --norc")
        :format(quoted((os.getenv("PWD"))), folder, quoted("$ "))
    self:tmux("-f /dev/null new-session -d -x 100 -y 50 -s test", quoted(shell))
    if self:tmux("has-session -t test") ~= "" then
        os.execute("rm -rf " .. folder)
        print("skipped: tmux cannot be here")
        return
    end
    self:expect("$")
    local fine, message = xpcall(test, debug.traceback, self)
    self:tmux("kill-server")
    os.execute("rm -rf " .. folder)
    if not fine then
        io.stderr:write(message, "\n")
        os.exit(1)
    end
end
