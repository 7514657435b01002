-- run: lua5.4 $file
-- exit: 0
-- TAB completes names by what they stand for, and files inside quotes.
local screen = dofile "tests/screen.lua"

screen(function (s)
    local file = assert(io.open(s.folder .. "/a file with ümlaut", "w"))
    file:close()
    s:type(os.getenv("luampi") .. "; echo left with $?\n")
    s:expect("1 rank on")

    local function completes(typed, whole)
        s:type(typed)
        s:key("Tab")
        s:expect(whole)
        s:key("C-c")
        s:expect(whole .. "^C")
    end

    completes("comm:allr", "> comm:allreduce")
    completes("x = mpi.COMM_W", "> x = mpi.COMM_WORLD")
    completes("print(comm:spl", "> print(comm:split")
    completes("array.linsp", "> array.linspace")
    completes("collectg", "> collectgarbage")
    completes("retu", "> return")
    completes("@0 tostr", "> @0 tostring")
    completes("?comm.Allred", "> ?comm.Allreduce")
    completes(":timeo", "> :timeout")
    completes("io.open('" .. s.folder .. "/a fil", "a file with ümlaut'")
    completes('io.open("/usr/shar', 'io.open("/usr/share/')
    completes("print 'x' .. tostr", "> print 'x' .. tostring")
    -- tables, metatables, objects
    s:type("mytable = setmetatable({first_field = 1}, {__index = {second_field = print}}) a = array.zeros(3)\n")
    completes("mytable.fi", "> mytable.first_field")
    completes("mytable.se", "> mytable.second_field")
    completes("mytable:se", "> mytable:second_field")
    completes("mytab", "> mytable")
    completes("a:cumsu", "> a:cumsum")
    completes("_G.mytable.fi", "> _G.mytable.first_field")
    -- several: what they have in common, then all of them
    s:type("comm:all")
    s:key("Tab")
    s:expect("allgather  allreduce  alltoall")
    s:type("g")
    s:key("Tab")
    s:type("(7)\n")
    s:expect("{ 7, n = 1 }")
    -- more than are shown at once: all when asked again
    s:type("long = {} for i = 1, 200 do long['name' .. i] = i end\n")
    s:type("long.name")
    s:key("Tab")
    s:expect("… 80 more: TAB shows all")
    s:refuse("name99")
    s:key("Tab")
    s:expect("name99")
    s:key("C-c")
    -- nothing to complete, nothing in the way
    s:type("1 + 1.")
    s:key("Tab")
    s:type("5\n")
    s:expect("2.5")
    s:key("C-d")
    s:expect("left with 0")
end)
