-- run: lua5.4 $file
-- exit: 0
-- A line that is being typed is whole in a window that has become narrower, or wider again.
local screen = dofile "tests/screen.lua"

screen(function (s)
    local words = {}
    for i = 1, 24 do words[i] = ("w%02d"):format(i) end
    local text = "'" .. table.concat(words, " ")

    -- the lines of the screen from the prompt on, in rows of so many columns
    local function rows(line, columns)
        local out = {}
        for from = 1, #line, columns do out[#out + 1] = line:sub(from, from + columns - 1):gsub("%s+$", "") end
        return table.concat(out, "\n")
    end

    s:type(os.getenv("mpirun") .. " -n 2 " .. os.getenv("luampi") .. "; echo left with $?\n")
    s:expect("2 ranks on")
    s:type(text)
    s:expect("w24")
    for _, columns in ipairs {60, 37, 80} do
        s:tmux("resize-window -t test -y 50 -x", columns)
        text = text .. "x"
        s:type("x")
        s:expect(rows("> " .. text, columns))
    end
    s:key("Home")
    s:tmux("resize-window -t test -y 50 -x 50")
    s:expect(rows("> " .. text, 50))
    s:key("C-e")
    s:type("' .. ' end'\n")
    s:expect("[0-1] " .. text:sub(2, 38))
    s:expect(" end\n>")
    s:key("C-d")
    s:expect("left with 0")
end)
