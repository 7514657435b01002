-- Stopping what runs: afterwards every communicator works as if nothing had been.
-- ranks: 1 2 3 4
local lu = require "mpi.luaunit"
local interrupt = require "mpi.interrupt"
local rank, size = comm:rank(), comm:size()
local right, left = (rank + 1) % size, (rank - 1) % size

lu.guarded = false -- these tests are about the same mechanism
interrupt.begin()

local dup = comm:dup()
local half = comm:split(rank % 2)
local grid = comm:cart {dims = {size}, periods = true}

-- What f gives on this rank when it is stopped, or ends by itself: false and the message, or true. Afterwards all
-- communicators are put to use.
local function outcome(f, ...)
    local result = table.pack(interrupt.run(f, ...))
    local interrupted = interrupt.meet()
    for _, c in ipairs {comm, dup, half, grid} do
        local last = c:size() - 1
        lu.assertEquals(c:allreduce(1), c:size())
        lu.assertEquals(c:bcast(("b"):rep(5000), last), ("b"):rep(5000))
        lu.assertEquals(c:allgather(c:rank())[c:size()], last)
        local r, l = (c:rank() + 1) % c:size(), (c:rank() - 1) % c:size()
        lu.assertEquals((c:sendrecv({c:rank(), ("x"):rep(6000)}, r, l, 3, 3))[1], l)
        lu.assertNil(c:iprobe())
    end
    lu.assertEquals({grid:shift(1, 1)}, {left, right})
    comm:barrier() -- what comes next may send
    return result[1], result[2], interrupted
end

-- Every rank runs f; rank 0 stops all as soon as it is done with its part.
local function stopped(f)
    return outcome(function ()
        if rank == 0 then
            mpi.sleep(0.02)
            interrupt.stop()
        end
        f()
    end)
end

local function place(level) return "tests/test_interrupt.lua:" .. debug.getinfo(2, "l").currentline + level end

TestStop = {}

function TestStop:test_what_ends_by_itself_is_not_interrupted()
    lu.assertEquals({outcome(function (a) return a + comm:allreduce(1) end, 1)}, {true, size + 1, false})
end

function TestStop:test_an_error_comes_with_its_traceback()
    local object = setmetatable({}, {__tostring = function () return "an object" end})
    local fine, value, trace = interrupt.run(function () error(object) end)
    lu.assertFalse(interrupt.meet())
    lu.assertFalse(fine)
    lu.assertIs(value, object)
    lu.assertStrMatches(trace, "an object\nstack traceback:\n.*test_interrupt.lua.*")
end

function TestStop:test_a_loop_stops()
    local fine, message, interrupted = stopped(function () while true do end end)
    lu.assertEquals({fine, message, interrupted}, {false, "interrupted at " .. place(-1), true})
end

function TestStop:test_a_loop_that_catches_every_error_stops()
    local fine = stopped(function () while true do pcall(function () while true do end end) end end)
    lu.assertFalse(fine)
end

function TestStop:test_a_loop_of_coroutines_whose_errors_are_caught_stops()
    local fine = stopped(function () while true do pcall(coroutine.wrap(function () while true do end end)) end end)
    lu.assertFalse(fine)
    fine = stopped(function () while true do coroutine.resume(coroutine.create(function () end)) end end)
    lu.assertFalse(fine)
end

function TestStop:test_a_loop_in_coroutines_stops()
    local fine, message = stopped(function ()
        local inner = coroutine.wrap(function () while true do end end)
        coroutine.wrap(inner)()
    end)
    lu.assertFalse(fine)
    lu.assertStrContains(message, "interrupted at " .. place(-4))
end

function TestStop:test_sleep_stops()
    local fine, message = stopped(function () mpi.sleep(1000) end)
    lu.assertEquals({fine, message}, {false, "interrupted at " .. place(-1)})
end

-- name, call that nobody answers, what the message says of the wait
local waits = {
    {"recv", function () comm:recv(left, 11) end, "recv(source=%d, tag=11)"},
    {"Recv", function () comm:Recv(array.zeros(3), left) end, "Recv(source=%d)"},
    {"ssend", function () comm:ssend(1, left) end, "ssend(dest=%d, tag=0)"},
    {"send_of_a_long_value", function () comm:send(("x"):rep(1 << 20), left) end, "send(dest=%d, tag=0)"},
    {"Send_of_a_long_array", function () comm:Send(array.zeros(1 << 17), left, 2) end, "Send(dest=%d, tag=2)"},
    {"Send_of_a_long_column", function () comm:Send(array.zeros {1 << 17, 2}:col(2), left) end, "Send(dest=%d, tag=0)"},
    {"sendrecv", function () comm:sendrecv(("x"):rep(1 << 20), left, left, 1, 2) end, "sendrecv(source=%d, tag=2)"},
    {"Sendrecv_replace", function () comm:Sendrecv_replace(array.zeros(1 << 17), left, left, 1, 2) end,
     "Sendrecv_replace(source=%d, tag=2)"},
    {"probe", function () comm:probe(left) end, "probe(source=%d)"},
    {"a_request", function () comm:irecv(left, 4):wait() end, "irecv(source=%d, tag=4)"},
    {"waitany", function () mpi.waitany {comm:irecv(left), comm:Irecv(array.zeros(1), left, 5)} end, "waitany()"},
}

for _, wait in ipairs(waits) do
    TestStop["test_" .. wait[1] .. "_stops"] = function ()
        local fine, message = stopped(wait[2])
        lu.assertFalse(fine)
        -- a slow rank is stopped before it waits
        if not message:find "^interrupted at " then
            lu.assertStrContains(message, "interrupted in comm:" .. wait[3]:format(left) .. " at tests/test_interrupt.lua:")
        end
    end
end

function TestStop:test_ranks_in_different_collectives_stop()
    lu.ranks(2)
    local fine, message = stopped(function ()
        if rank == 0 then comm:barrier() elseif rank == 1 then dup:Bcast(array.zeros(3), 1) else grid:neighbor_allgather(1) end
    end)
    lu.assertFalse(fine)
    lu.assertStrMatches(message, "interrupted .*at tests/test_interrupt.lua:%d+.*")
end

function TestStop:test_a_collective_that_one_rank_never_enters_stops()
    lu.ranks(2)
    local fine, message = stopped(function ()
        if rank == 1 then while true do end end
        comm:allreduce(1)
    end)
    lu.assertFalse(fine)
    if rank > 1 then lu.assertStrContains(message, "interrupted in comm:allreduce() at tests/test_interrupt.lua:") end
end

function TestStop:test_a_collective_that_all_enter_ends_although_it_is_stopped()
    local fine, sum = outcome(function ()
        interrupt.stop()
        return (comm:allreduce(rank))
    end)
    -- all ranks alike: it had begun for all, or was left by all
    if fine then lu.assertEquals(sum, size * (size - 1) // 2) end
end

function TestStop:test_requests_left_open_are_ended()
    local receive, send = comm:irecv(left, 8), comm:isend(("y"):rep(100000), right, 9)
    stopped(function () receive:wait() end)
    local value, status = receive:wait()
    lu.assertNil(value)
    lu.assertTrue(status.cancelled)
    lu.assertNil((send:wait()))
end

function TestStop:test_a_nonblocking_collective_left_open_raises()
    lu.ranks(2)
    local request = rank == 0 and comm:Iallreduce(array.zeros(3))
    stopped(function ()
        if request then request:wait() end
        mpi.sleep(1000)
    end)
    if rank == 0 then lu.assertErrorMsgMatches(".*Iallreduce at tests/test_interrupt.lua:%d+ was interrupted", request.wait, request) end
end

function TestStop:test_messages_probed_or_unread_are_gone()
    stopped(function ()
        comm:send(1, right)
        comm:send(("z"):rep(4500), right, 1)
        comm:probe(left, 1)
        mpi.sleep(1000)
    end)
    lu.assertNil(comm:iprobe())
end

function TestStop:test_what_is_no_message_of_a_script_is_gone_as_well()
    stopped(function ()
        comm:isend(("z"):rep(5000), right)
        require "mpi.serve".note(comm, right, 1, 2)
        mpi.sleep(1000)
    end)
    lu.assertNil(comm:iprobe())
end

function TestStop:test_a_map_stops_and_the_next_one_works()
    for _, task in ipairs {function () while true do end end, function () mpi.sleep(1000) end, function () comm:recv() end} do
        local fine = stopped(function () comm:map(task, 100, {chunk = 1}) end)
        lu.assertFalse(fine)
        lu.assertEquals((comm:map(function (i) return i * i end, 3)), {1, 4, 9, n = 3})
    end
    local fine = stopped(function () for _ in comm:imap(function () mpi.sleep(0.001) end, function () return 1 end) do end end)
    lu.assertFalse(fine)
    for _ = 1, 3 do
        fine = stopped(function ()
            local function task(i) lu.assertNotEquals(i, 17) end
            while true do pcall(comm.map, comm, task, 50, {chunk = 1}) end
        end)
        lu.assertFalse(fine)
    end
    lu.assertEquals(comm:mapreduce(function (i) return i end, 10), 55)
end

function TestStop:test_a_pool_stops_and_the_next_one_works()
    for _, what in ipairs {
        function (pool) while true do end end,
        function (pool) pool:call(function () while true do end end) end,
        function (pool) pool:call(mpi.sleep, 1000) end,
        function (pool) pool:submit(function () while true do end end):get() end,
        function (pool) mpi.sleep(1000) end,
    } do
        local fine = stopped(function () mpi.pool(what) end)
        lu.assertFalse(fine)
        mpi.pool(function (pool) lu.assertEquals(pool:call(function () return 7 end)[pool:size()], 7) end)
    end
end

function TestStop:test_an_operator_that_never_ends_stops()
    local node <close> = comm:split_type "shared"
    if node:size() < size then lu.skip "inside MPI nothing is heard of other machines" end
    for _, op in ipairs {function () while true do end end, mpi.op(function () while true do end end)} do
        lu.assertFalse((outcome(function ()
            if rank == 0 then interrupt.stop() end
            comm:Allreduce(array.ones(3), nil, op)
            while true do end -- on one rank nothing is to be combined
        end)))
        lu.assertFalse((outcome(function ()
            if rank == 0 then interrupt.stop() end
            comm:Reduce_scatter(array.ones(size), nil, nil, op)
            while true do end
        end)))
        lu.assertFalse((outcome(function ()
            if rank == 0 then interrupt.stop() end
            comm:Iallreduce(array.ones(3), nil, op):wait()
            while true do end
        end)))
    end
end

function TestStop:test_many_communicators_are_made_anew()
    local many = {}
    for i = 1, 60 do many[i] = comm:dup() end
    for _ = 1, 3 do stopped(function () comm:recv() end) end
    for _, c in ipairs(many) do
        lu.assertEquals(c:allreduce(1), size)
        c:free()
    end
end

function TestStop:test_the_collector_takes_no_communicator_while_others_are_made_anew()
    local extra, steps, on = comm:cart {dims = {size}, periods = true}, 0, true
    local held = rank ~= 1 and extra or nil
    -- the collector is at work all the time; in the midst of it nothing holds the communicator on rank 1 any more
    local function step()
        setmetatable({}, {__gc = function ()
            if not on then return end
            steps = steps + 1
            if steps == 2 then extra = nil end
            step()
        end})
    end
    local fine = interrupt.run(function ()
        if rank == 0 then interrupt.stop() end
        comm:recv()
    end)
    lu.assertFalse(fine)
    if rank == 1 then
        step()
        collectgarbage("incremental", 4, 1000, 40)
        collectgarbage "stop"
        collectgarbage "restart"
    end
    interrupt.meet()
    on = false
    collectgarbage("incremental", 200, 100, 13)
    lu.assertEquals(comm:allreduce(1), size)
    if held then lu.assertStrContains(tostring(held), "mpi.comm") end
end

TestStuck = {}

function TestStuck:test_ranks_that_wait_for_each_other_stop()
    local fine, message, interrupted = outcome(function () comm:recv(right) end)
    lu.assertEquals({fine, message, interrupted}, {false,
        ("interrupted in comm:recv(source=%d) at %s: no rank can go on"):format(right, place(-2)), true})
end

function TestStuck:test_every_kind_of_wait_is_named()
    for _, i in ipairs {3, 4, 7, 10} do
        local fine, message = outcome(waits[i][2])
        lu.assertFalse(fine)
        lu.assertStrMatches(message, "interrupted in comm:" .. waits[i][3]:format(left):gsub("[()]", "%%%0") ..
            " at tests/test_interrupt.lua:%d+: no rank can go on")
    end
end

function TestStuck:test_a_rank_that_waits_for_a_failed_one_stops()
    lu.ranks(2)
    local fine, message = outcome(function ()
        if rank == 1 then error("boom", 0) end
        comm:barrier()
    end)
    lu.assertFalse(fine)
    lu.assertEquals(message, rank == 1 and "boom" or ("interrupted in comm:barrier() at %s: no rank can go on"):format(place(-3)))
end

TestChaos = {}

-- Rounds of random calls on random communicators, with a stop after a random time. LUAMPI_CHAOS=N makes them N.
function TestChaos:test_whatever_is_stopped_the_next_run_works()
    local seed = 5
    for round = 1, tonumber(os.getenv "LUAMPI_CHAOS" or 8) do
        math.randomseed(seed, round)
        local stopper, delay = math.random(0, size - 1), math.random() * 0.03
        math.randomseed(seed, round * size + rank)
        local requests, asked = {}, rank ~= stopper
        local waits = {true, true, true, false, false, false, true, true, false} -- by kind
        -- mistakes raise on all ranks that made them; the run goes on until it is stopped
        local function act()
            local c = ({comm, dup, half, grid})[math.random(4)]
            local peer, kind = math.random(0, c:size() - 1), math.random(9)
            if waits[kind] and not asked then return end -- who is to stop all must come to it
            if kind == 1 then c:barrier()
            elseif kind == 2 then c:send(("m"):rep(math.random(0, 9000)), peer, math.random(0, 2))
            elseif kind == 3 then c:recv(peer, math.random(0, 2))
            elseif kind == 4 then table.insert(requests, c:isend(("n"):rep(math.random(0, 200000)), peer))
            elseif kind == 5 then table.insert(requests, c:irecv())
            elseif kind == 6 then c:iprobe()
            elseif kind == 7 then c:Allreduce(array.zeros(math.random(2) == 1 and 1 or 1000))
            elseif kind == 8 then c:bcast(("p"):rep(600), 0)
            else for _ = 1, 1000 do end
            end
        end
        outcome(function ()
            local start = mpi.wtime()
            while true do
                if not asked and mpi.wtime() > start + delay then
                    asked = true
                    interrupt.stop()
                end
                pcall(act)
            end
        end)
        for _, request in ipairs(requests) do pcall(request.wait, request) end
    end
end

local code = lu.run()
for _, c in ipairs {dup, half, grid} do c:free() end
os.exit(code)
