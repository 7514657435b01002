-- ranks: 1 3
local lu = require "mpi.luaunit"
local support = dofile "tests/support.lua"
local message = support.message

-- The info of a map whose tasks are {rank, t0, t1}, in order of their index.
local function info(ranks, wall, ...)
    local result = {wall = wall, serial = 0, per_rank = {n = ranks}, tasks = {}}
    for r = 1, ranks do result.per_rank[r] = {busy = 0, idle = wall, items = 0} end
    for i, t in ipairs {...} do
        result.tasks[i] = {index = i, rank = t[1], t0 = t[2], t1 = t[3]}
        local own = result.per_rank[t[1] + 1]
        own.busy, own.idle, own.items = own.busy + t[3] - t[2], own.idle - t[3] + t[2], own.items + 1
        result.serial = result.serial + t[3] - t[2]
    end
    result.speedup, result.efficiency = result.serial / wall, result.serial / wall / ranks
    return result
end

-- The lines that mpi.gantt prints on a terminal of so many columns.
local function drawn(i, columns)
    local original, terminal, lines = print, package.loaded["mpi.terminal"], {}
    package.loaded["mpi.terminal"] = {columns = function () return columns end}
    _G.print = function (text) for line in text:gmatch "[^\n]+" do lines[#lines + 1] = line end end
    local fine, problem = pcall(mpi.gantt, i)
    _G.print, package.loaded["mpi.terminal"] = original, terminal
    return fine and lines or error(problem, 0)
end

local function cells(line) return line:match "│(.-)│" end

local function svg(i)
    local path = os.tmpname()
    mpi.gantt(i, path)
    local file <close> = assert(io.open(path))
    os.remove(path)
    return file:read "a"
end

local function count(text, pattern) return select(2, text:gsub(pattern, "")) end

TestGantt = {}

function TestGantt:test_durations_are_drawn_to_scale()
    local lines = drawn(info(2, 0.8, {0, 0, 0.4}, {1, 0, 0.2}, {1, 0.2, 0.8}), 64)
    lu.assertEquals(lines[1], "3 tasks on 2 ranks in 800 ms, one after another 1.2 s: speedup 1.50, efficiency 75 %")
    lu.assertEquals(lines[2], "rank 0 │" .. ("█"):rep(20) .. (" "):rep(20) .. "│  50 %, 1 task")
    lu.assertEquals(lines[3], "rank 1 │" .. ("█"):rep(10) .. ("▒"):rep(30) .. "│ 100 %, 2 tasks")
    lu.assertEquals(lines[4], "       └┴─────────┴─────────┴─────────┴────────┴┘ busy")
    lu.assertEquals(lines[5], "        0        200       400       600   800 ms")
end

function TestGantt:test_rows_are_as_wide_as_the_terminal_and_end_at_one_column()
    local tasks = {}
    for i = 1, 700 do tasks[i] = {i % 64, i / 1000, i / 1000 + 0.05 * (i % 7)} end
    for _, columns in ipairs {60, 80, 131} do
        local lines = drawn(info(64, 1.3, table.unpack(tasks)), columns)
        lu.assertEquals(#lines, 64 + 3)
        local width = utf8.len(cells(lines[2]))
        for r = 0, 63 do
            lu.assertEquals(utf8.len(lines[r + 2]), columns)
            lu.assertEquals(utf8.len(cells(lines[r + 2])), width)
            lu.assertEquals(lines[r + 2]:match "^rank +(%d+) │", tostring(r))
        end
        lu.assertEquals(utf8.len(lines[66]:match "└(.-)┘"), width)
        lu.assertTrue(utf8.len(lines[67]) <= columns)
    end
end

function TestGantt:test_no_task_is_too_short_to_be_seen()
    local row = cells(drawn(info(1, 1, {0, 0, 0.4}, {0, 0.5, 0.5}, {0, 0.6, 0.60001}), 80)[2])
    lu.assertEquals(count(row, "▒"), 1)
    lu.assertEquals(count(row:gsub("^[█]+", ""), "█"), 1)
end

function TestGantt:test_many_tasks_in_a_column_have_a_shade_of_their_own()
    local tasks = {{0, 0.5, 1}}
    for i = 1, 500 do tasks[i + 1] = {0, (i - 1) / 1000, i / 1000} end
    local row = cells(drawn(info(1, 1, table.unpack(tasks)), 80)[2])
    lu.assertEquals(count(row, "▓"), utf8.len(row) // 2)
end

function TestGantt:test_without_tasks_the_ranks_are_idle()
    for _, wall in ipairs {0, 1e-6, 2} do
        local lines = drawn(info(3, wall), 80)
        lu.assertEquals(lines[1]:match "^0 tasks on 3 ranks in ", "0 tasks on 3 ranks in ")
        for r = 1, 3 do lu.assertEquals(cells(lines[r + 1]):match "^ +$", cells(lines[r + 1])) end
    end
    lu.assertEquals(count(svg(info(3, 0)), "<title>"), 0)
end

function TestGantt:test_a_task_before_the_beginning_or_behind_the_end_stays_in_the_picture()
    local lines = drawn(info(1, 1, {0, -0.01, 0.5}, {0, 0.5, 1.01}), 80)
    lu.assertEquals(cells(lines[2]):match "^█", "█")
    lu.assertEquals(utf8.len(lines[2]), 80)
    local x = tonumber(svg(info(1, 1, {0, -0.01, 0.5})):match '<g [^>]*>\n<rect x="([^"]+)"')
    lu.assertEquals(x, 0)
end

function TestGantt:test_the_axis_has_round_numbers()
    for wall, last in pairs {[0.0000031] = "3 µs", [0.047] = "40 ms", [9.7] = "8 s", [130] = "100 s", [99999] = "80000 s"} do
        lu.assertEquals(drawn(info(1, wall, {0, 0, wall}), 80)[4]:match "(%d+ [^%d ]+)$", last)
    end
end

function TestGantt:test_the_picture_has_a_row_a_rank_and_hover_text_a_task()
    local text = svg(info(2, 2, {0, 0, 0.5}, {1, 0, 0.25}, {1, 1, 2}))
    lu.assertEquals(count(text, '<rect class="track"'), 2)
    lu.assertEquals(count(text, "<title>"), 3)
    lu.assertStrContains(text, "<title>task 2 on rank 1: 250 ms\nfrom 0 s to 250 ms</title>")
    lu.assertStrContains(text, ">1.8</text>")
    lu.assertStrContains(text, ">rank 1</text>")
    lu.assertStrContains(text, "prefers-color-scheme:dark")
    -- what is opened is closed, in order
    local open = {}
    for close, name, empty in text:gmatch "<(/?)(%a+)[^>]-(/?)>" do
        if close == "/" then lu.assertEquals(name, table.remove(open))
        elseif empty == "" then open[#open + 1] = name end
    end
    lu.assertEquals(open, {})
end

function TestGantt:test_bars_are_to_scale_and_inside()
    local bars = {}
    for x, w in svg(info(1, 4, {0, 0, 1}, {0, 1, 4}, {0, 4, 4})):gmatch '<rect x="([%d.]+)" width="([%d.]+)" height="%d+"><title>' do
        bars[#bars + 1] = {tonumber(x), tonumber(w)}
    end
    lu.assertEquals(#bars, 3)
    lu.assertAlmostEquals(bars[2][2] / bars[1][2], 3, 0.01)
    for _, bar in ipairs(bars) do lu.assertTrue(bar[2] > 0 and bar[1] + bar[2] <= bars[2][1] + bars[2][2] + 0.01) end
end

function TestGantt:test_an_info_without_tasks_says_what_to_do()
    local plain = info(1, 1)
    plain.tasks = nil
    lu.assertEquals(message(mpi.gantt, plain),
        "bad argument #1 to 'gantt' (the info has no tasks: give the map the option trace = true)")
end

function TestGantt:test_other_arguments_are_refused()
    lu.assertEquals(message(mpi.gantt), "bad argument #1 to 'gantt' (the info of a map expected, got nil)")
    lu.assertStrContains(message(mpi.gantt, {tasks = {}}), "this table has no per_rank or no wall")
    lu.assertStrContains(message(mpi.gantt, info(1, 1), 7), "bad argument #2 to 'gantt' (the name of a file expected, got number)")
    local stray = info(2, 1, {0, 0, 1})
    stray.tasks[1].rank = 2
    lu.assertStrContains(message(mpi.gantt, stray), "tasks[1] is on rank 2, the info is of 2 ranks")
end

function TestGantt:test_a_file_that_cannot_be_written_raises()
    lu.assertEquals(message(mpi.gantt, info(1, 1, {0, 0, 1}), "/no/such/folder/g.svg"),
        "gantt: cannot write /no/such/folder/g.svg: No such file or directory")
end

os.exit(lu.run())
