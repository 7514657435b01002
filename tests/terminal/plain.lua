-- run: lua5.4 $file
-- exit: 0
-- Where lines cannot be edited they are read as they are.
local screen = dofile "tests/screen.lua"

screen(function (s)
    local before = s:settings()
    s:type("TERM=dumb " .. os.getenv("mpirun") .. " -n 2 " .. os.getenv("luampi") .. "; echo left with $?\n")
    s:expect("2 ranks on")
    s:type("comm:rank()\n")
    s:expect("[0] 0  [1] 1")
    s:type("for i = 1, 2 do\nprint('twice') end\n")
    s:expect("[0-1] twice", 2)
    s:key("C-d")
    s:expect("left with 0")
    s:shell("TERM= " .. os.getenv("luampi") .. " -i </dev/null")
    s:shell(os.getenv("luampi") .. " -i <&-; echo closed $?")
    s:expect("closed 0")
    assert(s:settings() == before, "the terminal's settings are not what they were")
end)
