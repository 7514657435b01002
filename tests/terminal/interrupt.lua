-- run: lua5.4 $file
-- exit: 0
-- within: 40
-- Ctrl-C stops a line on all ranks, wherever they are; afterwards everything works.
local screen = dofile "tests/screen.lua"

local luampi, mpirun = os.getenv("luampi"), os.getenv("mpirun")

local function wait_for(path)
    for _ = 1, 200 do
        local file <close> = io.open(path)
        if file then return os.remove(path) end
        os.execute "sleep 0.05"
    end
    error("a line did not begin")
end

screen(function (s)
    local before = s:settings()
    local begun = s.folder .. "/begun"

    local size

    local function begin(command, ranks)
        size = ranks
        s:clear()
        s:type(command .. "; echo left with $?\n")
        s:expect(" on ")
        s:type(("function begin() if comm:rank() == 0 then io.open('%s', 'w'):close() end end\n"):format(begun))
    end

    local function leave(code)
        s:expect("left with " .. code)
        assert(s:settings() == before, "the terminal's settings are not what they were")
    end

    -- Ctrl-C while the line runs shows the texts; afterwards a collective works and no message is left.
    local function stops(line, ...)
        s:clear()
        s:type((line:find("begin()", 1, true) and "" or "begin() ") .. line .. "\n")
        wait_for(begun)
        s:key("C-c")
        for _, text in ipairs {...} do s:expect(text) end
        s:type("'all ' .. comm:allreduce(1), comm:iprobe()\n")
        s:expect("all " .. size)
    end

    begin(mpirun .. " -n 4 " .. luampi, 4)
    stops("while true do end", "[0-3] interrupted at stdin:1")
    stops("while true do pcall(error) end", "[0-3] interrupted at stdin:1")
    stops("coroutine.wrap(function () while true do end end)()", "[0-3] stdin:1: interrupted at stdin:1")
    stops("mpi.sleep(1000)", "[0-3] interrupted at stdin:1")
    stops("if comm:rank() > 0 then comm:recv(0, 7) else while true do end end",
          "[0] interrupted at stdin:1", "[1-3] interrupted in comm:recv(source=0, tag=7) at stdin:1")
    stops("if comm:rank() ~= 2 then comm:barrier() else while true do end end",
          "[0-1,3] interrupted in comm:barrier() at stdin:1", "[2] interrupted at stdin:1")
    stops("if comm:rank() == 0 then comm:Recv(array.zeros(10), 1) else while true do end end",
          "[0] interrupted in comm:Recv(source=1) at stdin:1", "[1-3] interrupted at stdin:1")
    stops("if comm:rank() == 1 then comm:ssend('nobody waits', 3) else while true do end end",
          "[1] interrupted in comm:ssend(dest=3, tag=0) at stdin:1", "[0,2-3] interrupted at stdin:1")
    stops("for i = 1, 5e5 do print('flood') end begin() while true do print('flood') end", "[0-3] interrupted at stdin:1")
    stops("comm:map(function () while true do end end, 100)", "interrupted at stdin:1")

    -- who stays behind is named, and what it waits for; an error ends the others' waits
    s:clear()
    s:type("begin() if comm:rank() == 0 then comm:recv(3) elseif comm:rank() == 3 then while true do end end\n")
    s:expect("rank 0 waits in comm:recv(source=3) at stdin:1, rank 3 still runs; the others are done")
    s:key("C-c")
    s:expect("[3] interrupted at stdin:1")
    s:type("if comm:rank() == 1 then error('lost') else comm:barrier() end\n")
    s:expect("[0,2-3] interrupted in comm:barrier() at stdin:1: no rank can go on")
    s:expect("[1] stdin:1: lost")

    -- a line may be given a limit
    s:type(":timeout 0.2\nwhile true do end\n")
    s:expect("stopped after 0.2 s")
    s:type(":timeout 0\n")

    -- what is printed comes while the line runs, and is not lost when it is stopped; keys typed meanwhile wait
    s:clear()
    s:type("for i = 1, 3 do print('line ' .. i) end while true do end\n")
    s:expect("[0-3] line 3")
    s:type("'typed too early'\n")
    s:key("C-c")
    s:expect("[0-3] interrupted at stdin:1")
    s:type("'after' .. 2\n")
    s:expect("[0-3] after2")
    s:refuse("[0-3] typed too early")

    -- who is in a C function is named, and nobody who stops
    s:clear()
    local in_c = ("os.execute('touch %s; sleep %%d')"):format(begun)
    s:type("if comm:rank() == 2 then " .. in_c:format(3) .. " end\n")
    wait_for(begun)
    s:key("C-c")
    s:expect("rank 2 is still in a C function; Ctrl-C again ends the session")
    s:expect("[2] interrupted at stdin:1")
    s:clear()
    s:type("if comm:rank() == 0 then " .. in_c:format(3) .. " else while true do end end\n")
    wait_for(begun)
    s:key("C-c")
    s:expect("rank 0 is still in a C function; Ctrl-C again ends the session")
    s:expect("[0-3] interrupted at stdin:1")

    -- twice within a second ends the session, whatever it does
    s:type("begin() os.execute('sleep 20')\n")
    wait_for(begun)
    s:key("C-c", "C-c")
    s:expect("Ctrl-C again: the session ends")
    leave(1)

    -- one rank without mpirun
    begin(luampi, 1)
    stops("while true do end", "interrupted at stdin:1")
    s:type(in_c:format(20) .. "\n")
    wait_for(begun)
    s:key("C-c")
    s:expect("rank 0 is still in a C function; Ctrl-C again ends the session")
    s:key("C-c")
    s:expect("Ctrl-C again: the session ends")
    s:expect("\n$") -- a shell forgets the rest of a command line that Ctrl-C ended
    s:type("echo left with $?\n")
    leave(130)
end)
