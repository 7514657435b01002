-- run: lua5.4 $file
-- exit: 0
-- Editing a line under a plain mpirun, and leaving.
local screen = dofile "tests/screen.lua"

screen(function (s)
    local before = s:settings()
    s:type(os.getenv("mpirun") .. " -n 4 " .. os.getenv("luampi") .. "; echo left with $?\n")
    s:expect("4 ranks on")
    -- cursor keys, over characters of more than one byte
    s:type("'aäe'")
    s:key("Left", "Left")
    s:type("ö€")
    s:key("Left", "BSpace", "Home")
    s:type("#")
    s:key("End")
    s:type(" + comm:rank()\n")
    s:expect("[0] 7  [1] 8  [2] 9  [3] 10")
    -- what goes on in the next line
    s:type("for i = 1, 2 do\nprint('line ' .. i)\nend\n")
    s:expect(">> end")
    s:expect("[0-3] line 2")
    -- Ctrl-C gives up a line, and lines that are not at their end
    s:type("this is given up")
    s:key("C-c")
    s:expect("given up^C")
    s:type("if true then\n")
    s:expect(">>")
    s:type("no(")
    s:key("C-c")
    s:expect("no(^C")
    s:type("'after ' .. 1 + 1\n")
    s:expect("[0-3] after 2")
    -- a pasted block; its tabs complete nothing
    s:paste("function double(x)\n\tlocal y = x * 2\n\treturn y\nend\ndouble(21)\n")
    s:expect("[0-3] 42")
    -- a fresh Lua, in which all that goes on
    s:type(":reset\ndouble\n")
    s:expect("[0-3] nil")
    s:type("comm:all")
    s:key("Tab")
    s:expect("allgather  allreduce  alltoall")
    s:type("reduce(2)\n")
    s:expect("[0-3] 8")
    s:key("Up")
    s:expect("comm:allreduce(2)", 2)
    s:key("C-c")
    -- Ctrl-D
    s:key("C-d")
    s:expect("left with 0")
    assert(s:settings() == before, "the terminal's settings are not what they were")
end)
