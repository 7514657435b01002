-- mpi.gantt: what every rank did when, from the trace of a map, as text for the terminal or as an SVG file.
local mpi = ...

local format, floor, max, min = string.format, math.floor, math.max, math.min

-- What both pictures need ---------------------------------------------------------------------------------------

local units = {{1, "s"}, {1e-3, "ms"}, {1e-6, "µs"}, {1e-9, "ns"}}

-- The unit in which so many seconds are a number from 1 to 999, where there is one.
local function unit_for(seconds)
    for _, unit in ipairs(units) do
        if seconds >= unit[1] then return unit[1], unit[2] end
    end
    return 1e-9, "ns"
end

local function duration_text(seconds)
    if seconds == 0 then return "0 s" end
    local scale, unit = unit_for(seconds)
    return format("%.3g %s", seconds / scale, unit)
end

-- Round times from 0 to `last`, at most `most` steps; as {at = seconds, text = label without the unit}, and the unit.
local function ticks(last, most)
    local scale, unit = unit_for(last)
    local step = 10.0 ^ floor(math.log(last / scale / most, 10))
    for _, factor in ipairs {1, 2, 5, 10} do
        if last / scale / (step * factor) <= most then
            step = step * factor
            break
        end
    end
    local list = {}
    for i = 0, floor(last / scale / step + 1e-9) do
        list[#list + 1] = {at = i * step * scale, text = format("%.10g", i * step)}
    end
    return list, unit
end

local function plural(n, what) return n == 1 and "1 " .. what or n .. " " .. what .. "s" end

-- The rows of a picture, checked: by rank the tasks in order of their beginning, cut to the time shown.
local function read(info)
    if type(info) ~= "table" then
        error(("bad argument #1 to 'gantt' (the info of a map expected, got %s)"):format(type(info)), 3)
    elseif type(info.tasks) ~= "table" then
        error("bad argument #1 to 'gantt' (the info has no tasks: give the map the option trace = true)", 3)
    elseif type(info.per_rank) ~= "table" or type(info.wall) ~= "number" then
        error("bad argument #1 to 'gantt' (the info of a map expected, this table has no per_rank or no wall)", 3)
    end
    local chart = {rows = {}, ends = max(info.wall, 0), count = #info.tasks}
    for r = 1, info.per_rank.n or #info.per_rank do chart.rows[r] = {busy = info.per_rank[r].busy} end
    for i, task in ipairs(info.tasks) do
        local row = chart.rows[task.rank + 1]
        if not row then
            error(("bad argument #1 to 'gantt' (tasks[%d] is on rank %s, the info is of %s)")
                :format(i, task.rank, plural(#chart.rows, "rank")), 3)
        end
        row[#row + 1] = task
        chart.ends = max(chart.ends, task.t1)
    end
    if chart.ends == 0 then chart.ends = 1e-9 end
    for _, row in ipairs(chart.rows) do
        table.sort(row, function (a, b) return a.t0 < b.t0 end)
        row.share = format("%.0f %%", 100 * min(1, row.busy / chart.ends))
    end
    chart.summary = format("%s on %s in %s", plural(chart.count, "task"), plural(#chart.rows, "rank"), duration_text(chart.ends))
    if info.speedup and info.efficiency and chart.count > 0 then
        chart.summary = format("%s, one after another %s: speedup %.2f, efficiency %.0f %%", chart.summary,
                               duration_text(info.serial or 0), info.speedup, 100 * info.efficiency)
    end
    return chart
end

-- In the terminal -----------------------------------------------------------------------------------------------

local FIRST, SECOND, SEVERAL, IDLE = "█", "▒", "▓", " "

-- The cells of a row: consecutive tasks alternate between two shades, so that their borders show; a cell belongs to
-- what takes most of it, and no task is left out: where several share a cell it says so.
local function row_cells(row, ends, width)
    local time, tasks, greatest, kind = {}, {}, {}, {}
    for c = 1, width do time[c], tasks[c], greatest[c] = 0, 0, 0 end
    for i, task in ipairs(row) do
        local from, to = max(task.t0, 0) / ends * width, max(task.t1, 0) / ends * width
        for c = min(floor(from), width - 1), min(floor(to), width - 1) do
            local part = min(to, c + 1) - max(from, c)
            if part > 1e-6 or floor(from) == floor(to) then
                c = c + 1
                time[c], tasks[c] = time[c] + part, tasks[c] + 1
                if part >= greatest[c] then greatest[c], kind[c] = part, i end
            end
        end
    end
    local shown, cells = {}, {}
    for c = 1, width do
        if kind[c] and greatest[c] >= 0.5 then shown[kind[c]] = true end
    end
    for c = 1, width do
        local shade = kind[c] and (kind[c] % 2 == 1 and FIRST or SECOND)
        if not kind[c] then cells[c] = IDLE
        elseif greatest[c] >= 0.5 then cells[c] = shade
        elseif tasks[c] > 1 and (time[c] >= 0.5 or tasks[c] > 2) then cells[c] = SEVERAL
        elseif shown[kind[c]] then cells[c] = IDLE -- the small rest of a task that is seen
        else
            cells[c] = shade
            shown[kind[c]] = true
        end
    end
    return table.concat(cells)
end

-- Two lines: the axis with its marks, and the labels below them.
local function axis_lines(ends, width)
    local list, unit = ticks(ends, max(1, width // 9))
    local marks, labels, at = {}, "", 0
    for c = 1, width do marks[c] = "─" end
    for i, tick in ipairs(list) do
        local c = min(floor(tick.at / ends * width + 0.5), width - 1)
        local text = i == #list and tick.text .. " " .. unit or tick.text
        local length = utf8.len(text)
        local from = max(0, min(c - (length - 1) // 2, width + 1 - length))
        if from > at or i == 1 then
            marks[c + 1] = "┴"
            labels = labels .. (" "):rep(from - at) .. text
            at = from + length
        end
    end
    return "└" .. table.concat(marks) .. "┘", labels
end

local function text_of(chart, columns)
    local label = #tostring(max(#chart.rows - 1, 0))
    local right, count = 0, 0
    for _, row in ipairs(chart.rows) do
        right, count = max(right, #row.share), max(count, #tostring(#row))
    end
    local width = max(16, columns - #"rank  || ,  tasks" - label - right - count)
    local lines = {chart.summary}
    for r, row in ipairs(chart.rows) do
        lines[#lines + 1] = format("rank %" .. label .. "d │%s│ %" .. right .. "s, %" .. count .. "d task%s", r - 1,
                                   row_cells(row, chart.ends, width), row.share, #row, #row == 1 and "" or "s")
    end
    local axis, labels = axis_lines(chart.ends, width)
    local indent = (" "):rep(#"rank " + label + 1)
    lines[#lines + 1] = indent .. axis .. " busy"
    lines[#lines + 1] = indent .. " " .. labels
    return table.concat(lines, "\n")
end

-- As SVG ----------------------------------------------------------------------------------------------------------

-- Colours stand in classes, twice: for a light and for a dark page.
local style = [[
text{font:12px system-ui,"Segoe UI",Roboto,"DejaVu Sans",sans-serif;fill:#57606a}
.head{font-size:14px;fill:#1f2328}.end{text-anchor:end}.mid{text-anchor:middle}
.page{fill:#fff}.track{fill:#eff2f5}.grid{stroke:#d1d9e0;stroke-width:1}
.row rect{fill:#2f6fbf}.row rect:nth-of-type(odd){fill:#79aee8}.row rect:hover{fill:#e8833a}
@media(prefers-color-scheme:dark){text{fill:#9198a1}.head{fill:#f0f6fc}.page{fill:#0d1117}.track{fill:#1c232d}
.grid{stroke:#3d444d}.row rect{fill:#3f85d8}.row rect:nth-of-type(odd){fill:#8fc0f2}.row rect:hover{fill:#f0a35e}}]]

local WIDTH, LEFT, RIGHT, TOP, BOTTOM = 1000, 64, 104, 44, 44

-- A coordinate, as short as can be.
local function px(x) return (format("%.2f", x):gsub("%.?0+$", "")) end

local function svg_task(task, ends, height)
    local scale = (WIDTH - LEFT - RIGHT) / ends
    local x, w = max(task.t0, 0) * scale, max((task.t1 - max(task.t0, 0)) * scale, 0.6)
    return format('<rect x="%s" width="%s" height="%s"><title>task %s on rank %d: %s\nfrom %s to %s</title></rect>\n',
                  px(min(x, WIDTH - LEFT - RIGHT - w)), px(w), px(height), task.index, task.rank,
                  duration_text(task.t1 - task.t0), duration_text(max(task.t0, 0)), duration_text(max(task.t1, 0)))
end

local function svg_of(chart)
    local ranks = #chart.rows
    local pitch = ranks <= 16 and 28 or ranks <= 64 and 18 or 12
    local bar = floor(pitch * 0.78)
    local bottom, height = TOP + pitch * ranks, TOP + pitch * ranks + BOTTOM
    local out = {}
    local function put(...) out[#out + 1] = format(...) end
    put('<svg xmlns="http://www.w3.org/2000/svg" width="%d" height="%d" viewBox="0 0 %d %d" role="img" aria-label="%s">\n',
        WIDTH, height, WIDTH, height, chart.summary)
    put("<style>\n%s\n</style>\n", style)
    put('<rect class="page" width="%d" height="%d"/>\n', WIDTH, height)
    put('<text class="head" x="%d" y="26">%s</text>\n', LEFT, chart.summary)
    put('<text class="end" x="%d" y="26">busy, tasks</text>\n', WIDTH - 12)
    for r = 1, ranks do
        put('<rect class="track" x="%d" y="%d" width="%d" height="%d"/>\n', LEFT, TOP + (r - 1) * pitch, WIDTH - LEFT - RIGHT, bar)
    end
    local list, unit = ticks(chart.ends, 10)
    for i, tick in ipairs(list) do
        local x = px(LEFT + tick.at / chart.ends * (WIDTH - LEFT - RIGHT))
        put('<path class="grid" d="M%s %dV%d"/>', x, TOP - 6, bottom + 4)
        put('<text class="mid" x="%s" y="%d">%s%s</text>\n', x, bottom + 20, tick.text, i == #list and " " .. unit or "")
    end
    for r, row in ipairs(chart.rows) do
        local y, size = TOP + (r - 1) * pitch, pitch < 18 and ' style="font-size:10px"' or ""
        local text_y = px(y + bar / 2 + (pitch < 18 and 3.5 or 4.2))
        put('<text class="end"%s x="%d" y="%s">rank %d</text>', size, LEFT - 8, text_y, r - 1)
        put('<text class="end"%s x="%d" y="%s">%s</text>', size, WIDTH - RIGHT + 46, text_y, row.share)
        put('<text class="end"%s x="%d" y="%s">%d</text>\n', size, WIDTH - 12, text_y, #row)
        put('<g class="row" transform="translate(%d %d)">\n', LEFT, y)
        for _, task in ipairs(row) do out[#out + 1] = svg_task(task, chart.ends, bar) end
        put("</g>\n")
    end
    put("</svg>\n")
    return table.concat(out)
end

function mpi.gantt(info, path)
    if path ~= nil and type(path) ~= "string" then
        error(("bad argument #2 to 'gantt' (the name of a file expected, got %s)"):format(type(path)), 2)
    end
    local chart = read(info)
    if not path then
        print(text_of(chart, require "mpi.terminal".columns() or 80))
        return
    end
    local file, problem = io.open(path, "wb")
    local written
    if file then
        written, problem = file:write(svg_of(chart))
        local closed, trouble = file:close()
        if not closed then written, problem = nil, problem or trouble end
    end
    if not written then error("gantt: cannot write " .. problem, 2) end
end
