local lu = require "mpi.luaunit"
local support = dofile "tests/support.lua"
local message, everywhere, ring = support.message, support.everywhere, support.ring
local rank, size = comm:rank(), comm:size()

TestValues = {}

function TestValues:test_values_of_any_size_come_by_irecv()
    everywhere(function (c)
        local right, left = ring(c)
        for _, v in ipairs {1, true, {a = {b = 1}}, ("x"):rep(3960), ("x"):rep(5000), ("x"):rep(3000000)} do
            local r, s = c:irecv(left, 3), c:isend(v, right, 3)
            local got, status = r:wait()
            lu.assertEquals(got, v)
            lu.assertEquals({status.source, status.tag}, {left, 3})
            lu.assertNil((s:wait()))
            -- once more gives the same
            local again, same = r:wait()
            lu.assertIs(again, got)
            lu.assertEquals(same.count, status.count)
        end
        local r = c:irecv(left)
        c:isend(nil, right):wait()
        lu.assertNil((r:wait()))
    end)
end

function TestValues:test_receives_match_in_the_order_they_were_posted()
    everywhere(function (c)
        local right, left = ring(c)
        local receives, sends = {}, {}
        for i = 1, 20 do receives[i] = c:irecv(left, i % 3 == 0 and 7 or mpi.ANY_TAG) end
        for i = 1, 20 do sends[i] = c:isend({i, ("y"):rep(i * 500)}, right, 7) end
        local values, statuses = mpi.waitall(receives)
        lu.assertEquals({values.n, statuses.n}, {20, 20})
        for i = 1, 20 do
            lu.assertEquals(values[i][1], i)
            lu.assertEquals(statuses[i].tag, 7)
        end
        mpi.waitall(sends)
    end)
end

function TestValues:test_issend_completes_when_it_is_received()
    everywhere(function (c)
        local right, left = ring(c)
        local s = c:issend("sync", right, 1)
        lu.assertFalse(s:test())
        c:barrier()
        lu.assertEquals(c:recv(left, 1), "sync")
        s:wait()
        lu.assertTrue((s:test()))
    end)
end

function TestValues:test_test_is_false_until_something_came()
    everywhere(function (c)
        local right, left = ring(c)
        local r = c:irecv(left, 5)
        lu.assertFalse(r:test())
        c:barrier()
        c:send("now", right, 5)
        local done, value, status
        repeat done, value, status = r:test() until done
        lu.assertEquals({done, value, status.tag}, {true, "now", 5})
    end)
end

function TestValues:test_what_cannot_be_sent_raises_at_once()
    lu.assertEquals(message(comm.isend, comm, {print, coroutine.create(print)}, 0), "cannot send a thread at value[2]")
end

function TestValues:test_irecv_takes_what_a_probe_has_opened()
    everywhere(function (c)
        local r = c:rank()
        c:send("first", r, 1)
        c:send(("second"):rep(3), r, 2)
        c:probe(r, 2)
        local a, b = c:irecv(r), c:irecv(r)
        lu.assertEquals({(a:wait()), (b:wait())}, {"first", "secondsecondsecond"})
    end)
end

-- Begins to send a value made of a module that the receiver is yet to load, under a new name: short, or for a payload.
local modules = 0
local function isend_module(c, dest, short, make)
    modules = modules + 1
    local module, name = {}, "module " .. modules .. ("x"):rep(short and 0 or 5000)
    package.loaded[name] = module
    local s = c:isend(make and make(module) or module, dest)
    package.loaded[name] = nil
    return s, module
end

-- Replaces the function by which values that travel by name are found, for the time of f(…).
local function with_require(replacement, f, ...)
    local original = require
    require = replacement
    local results = table.pack(pcall(f, ...))
    require = original
    assert(results[1], results[2])
    return table.unpack(results, 2, results.n)
end

function TestValues:test_a_value_is_not_made_twice_at_once()
    everywhere(function (c)
        local right, left = ring(c)
        for _, short in ipairs {true, false} do
            local r, inner = c:irecv(left), nil
            local s, module = isend_module(c, right, short, function (module) return {module, {"rest"}} end)
            local value = with_require(function ()
                inner = {message(r.wait, r), message(r.test, r), message(mpi.waitall, {r})}
                return module
            end, r.wait, r)
            lu.assertEquals(value, {module, {"rest"}})
            lu.assertIs((r:wait()), value)
            local text = "irecv at tests/test_request.lua:%d+: its result is just being made"
            for i = 1, 3 do lu.assertStrMatches(inner[i], text) end
            s:wait()
        end
    end)
end

function TestValues:test_what_arrives_as_nil_stays_nil()
    everywhere(function (c)
        local right, left = ring(c)
        for _, short in ipairs {true, false} do
            local r = c:irecv(left)
            local s = isend_module(c, right, short)
            lu.assertNil((with_require(function () end, r.wait, r)))
            local value, status = r:wait()
            lu.assertNil(value)
            lu.assertEquals(status.source, left)
            s:wait()
        end
    end)
end

function TestValues:test_what_cannot_be_made_is_told_each_time()
    everywhere(function (c)
        local right, left = ring(c)
        local r, times = c:irecv(left), 0
        local s = isend_module(c, right, false)
        with_require(function ()
            times = times + 1
            error "no such module"
        end, function ()
            for _ = 1, 2 do lu.assertStrContains(message(r.wait, r), "no such module") end
        end)
        lu.assertEquals(times, 1)
        s:wait()
    end)
end

TestArrays = {}

function TestArrays:test_every_dtype_arrives_and_views_too()
    everywhere(function (c)
        local right, left = ring(c)
        for _, dtype in ipairs(support.dtypes) do
            for _, n in ipairs {0, 1, 400, 3000} do
                local from, to = array.full({n, 2}, c:rank() + 1, dtype), array.full({n, 2}, 9, dtype)
                local r, s = c:Irecv(to:col(2), left), c:Isend(from:col(1), right)
                local got, status = r:wait()
                lu.assertEquals({status.source, status.count, got:dtype()}, {left, n, dtype})
                s:wait()
                lu.assertEquals(to:sum(), n * (9 + left + 1))
            end
        end
    end)
end

function TestArrays:test_long_messages_cross()
    everywhere(function (c)
        local right, left = ring(c)
        local from, to = array.full(200000, c:rank()), array.zeros(200000)
        local r = c:Irecv(to, left)
        c:Send(from, right)
        lu.assertIs((r:wait()), to)
        lu.assertEquals(to[200000], left)
    end)
end

function TestArrays:test_a_posted_receive_goes_on_while_its_rank_is_in_a_collective()
    everywhere(function (c)
        local right, left = ring(c)
        local to = array.zeros(50000)
        local r, v = c:Irecv(to, left, 1), c:irecv(left, 2)
        if c:rank() % 2 == 0 then c:barrier() end
        c:Send(array.full(50000, 7), right, 1)
        c:send(("v"):rep(50000), right, 2)
        if c:rank() % 2 == 1 then c:barrier() end
        r:wait()
        lu.assertEquals({to[1], to[50000], #v:wait()}, {7, 7, 50000})
    end)
end

function TestArrays:test_an_array_in_use_refuses_changes()
    everywhere(function (c)
        local right, left = ring(c)
        local a, b = array.zeros(1000), array.zeros(1000)
        local r = c:Irecv(a, left, 1)
        local received = "the array is being received into by a request that is not complete"
        lu.assertEquals(message(function () a[1] = 5 end), received)
        lu.assertEquals(message(a.fill, a, 1), received)
        lu.assertEquals(message(function () a:slice(5, 9)[1] = 1 end), received)
        lu.assertEquals(message(c.Irecv, c, a, left), received)
        lu.assertEquals(message(c.Send, c, a, right), "bad argument #2 to 'mpi.comm.Send' (" .. received .. ")")
        local s = c:Issend(b, right, 1)
        c:barrier()
        r:wait()
        s:wait()
        a[1], b[1] = 1, 1
        -- what is being sent may be read and sent once more, not changed
        s = c:Issend(b, right, 2)
        lu.assertEquals(b[1], 1)
        lu.assertEquals(message(function () b[1] = 5 end), "the array is being sent by a request that is not complete")
        local t = c:Issend(b:slice(1, 10), right, 3)
        c:Recv(a, left, 2)
        c:Recv(a, left, 3)
        mpi.waitall {s, t}
        b[1] = 2
    end)
end

function TestArrays:test_disjoint_rows_and_columns_travel_at_once()
    everywhere(function (c)
        local right, left = ring(c)
        local m = array.zeros {3, 4}
        local requests = {}
        for j = 1, 4 do requests[j] = c:Irecv(m:col(j), left, j) end
        for j = 4, 1, -1 do c:Send(array.full(3, j), right, j) end
        mpi.waitall(requests)
        lu.assertEquals(m[2]:totable(), {1, 2, 3, 4})
        local one, two = c:Irecv(m[1], left, 1), c:Irecv(m[2], left, 2)
        lu.assertStrContains(message(c.Irecv, c, m:col(1), left, 3), "being received into")
        c:Send(array.full(4, 5), right, 1)
        c:Send(array.full(4, 6), right, 2)
        mpi.waitall {one, two}
        lu.assertEquals(m:col(1):totable(), {5, 6, 1})
    end)
end

function TestArrays:test_a_refused_message_is_consumed()
    everywhere(function (c)
        local right, left = ring(c)
        for _, n in ipairs {11, 40000} do
            local memory = array.full(11, 3)
            local r = c:Irecv(memory:slice(1, 10), left, 1)
            c:Send(array.zeros(n), right, 1)
            local text = message(r.wait, r)
            lu.assertEquals(text, ("Irecv: the message from rank %d (tag 1) has %d float64 elements, the array only 10"):format(left, n))
            lu.assertEquals(message(r.wait, r), text)
            lu.assertTrue(memory == array.full(11, 3))
            memory[1] = 4
        end
        c:send("value", right, 2)
        lu.assertStrContains(message(function () c:Irecv(array.zeros(4), left, 2):wait() end), "is a value, not an array; receive it with recv")
        c:Send(array.zeros(4), right, 2)
        lu.assertStrContains(message(function () c:irecv(left, 2):wait() end), "is an array of 4 float64 elements; receive it with Recv")
    end)
end

function TestArrays:test_Sendrecv_replace()
    everywhere(function (c)
        local right, left = ring(c)
        for _, n in ipairs {1, 3, 5000} do
            local m = array.full({n, 2}, c:rank())
            local status = c:Sendrecv_replace(m:col(1), right, left)
            lu.assertEquals({status.source, status.count}, {left, n})
            lu.assertEquals({m:get(n, 1), m:get(n, 2)}, {left, c:rank()})
        end
    end)
end

TestRequests = {}

function TestRequests:test_waitany_gives_each_once_and_then_nil()
    everywhere(function (c)
        local right, left = ring(c)
        local requests = {c:irecv(left, 1), c:irecv(left, 2), c:Irecv(array.zeros(3), left, 3)}
        for tag = 3, 1, -1 do
            if tag == 3 then c:Send(array.ones(3), right, 3) else c:send(tag, right, tag) end
        end
        local seen = {}
        for _ = 1, 3 do
            local i, value, status = mpi.waitany(requests)
            lu.assertNil(seen[i])
            seen[i] = true
            lu.assertEquals(status.tag, i)
            if i < 3 then lu.assertEquals(value, i) else lu.assertEquals(value:sum(), 3) end
        end
        lu.assertNil(mpi.waitany(requests))
        lu.assertNil(mpi.waitany {})
        lu.assertNil(mpi.waitsome(requests))
        lu.assertNil(mpi.testany(requests))
    end)
end

function TestRequests:test_waitsome_testall_and_testany()
    everywhere(function (c)
        local right, left = ring(c)
        local requests = {c:irecv(left, 1), false, c:irecv(left, 2), n = 3}
        lu.assertFalse(mpi.testall(requests))
        lu.assertFalse(mpi.testany(requests))
        c:barrier()
        c:send("a", right, 1)
        c:send("b", right, 2)
        local got = {}
        while true do
            local indices, values = mpi.waitsome(requests)
            if not indices then break end
            for k, i in ipairs(indices) do got[i] = values[k] end
        end
        lu.assertEquals(got, {[1] = "a", [3] = "b"})
        local all, values, statuses = mpi.testall(requests)
        lu.assertEquals({all, values[1], values[3], statuses[3].tag}, {true, "a", "b", 2})
    end)
end

function TestRequests:test_a_list_that_changes_meanwhile()
    everywhere(function (c)
        local right, left = ring(c)
        for _, name in ipairs {"waitall", "testall", "waitsome"} do
            local open = c:irecv(left, 99)
            local list = {c:irecv(left, 0), c:irecv(left, 0)}
            local s = {isend_module(c, right, true), c:isend("two", right)}
            local complete = list[2]
            repeat c:iprobe(left, 98) until tostring(complete):find "complete"
            local results = with_require(function ()
                list[2] = open
                return "one"
            end, function () return table.pack(mpi[name](list)) end)
            lu.assertEquals(results[name == "waitall" and 1 or 2], name == "waitsome" and {"one", "two"} or {"one", "two", n = 2})
            lu.assertTrue(open:cancel())
            mpi.waitall {s[1], s[#s]}
        end
    end)
end

function TestRequests:test_a_length_that_is_none_raises()
    for _, n in ipairs {-5, 2.5, 1 << 40} do
        for _, name in ipairs {"waitall", "testall", "waitany", "waitsome", "testany"} do
            lu.assertEquals(message(mpi[name], {n = n}), ("bad argument #1 to 'mpi.%s' (n is %s, expected 0 to 2147483647)"):format(name, n))
        end
    end
    lu.assertEquals(mpi.waitall {n = 3}, {n = 3})
end

function TestRequests:test_a_long_list()
    local list = {}
    for i = 1, 20000 do list[i] = comm:isend(i, mpi.PROC_NULL) end
    lu.assertTrue((mpi.testall(list)))
    lu.assertEquals(mpi.waitall(list).n, 20000)
end

function TestRequests:test_waitall_of_nothing()
    lu.assertEquals(mpi.waitall {}, {n = 0})
end

function TestRequests:test_cancel()
    everywhere(function (c)
        local right, left = ring(c)
        local r = c:irecv(left, 4)
        lu.assertTrue(r:cancel())
        local value, status = r:wait()
        lu.assertNil(value)
        lu.assertTrue(status.cancelled)
        local a = array.zeros(3)
        local q = c:Irecv(a, left, 5)
        lu.assertTrue(q:cancel())
        a[1] = 1
        -- too late
        r = c:irecv(left, 6)
        c:send("here", right, 6)
        c:barrier()
        while not r:test() do end
        lu.assertFalse(r:cancel())
        lu.assertEquals((r:wait()), "here")
        local s = c:isend(1, mpi.PROC_NULL)
        s:wait()
        lu.assertStrContains(message(s.cancel, s), "isend: only receives can be cancelled")
    end)
end

function TestRequests:test_PROC_NULL()
    local value, status = comm:irecv(mpi.PROC_NULL):wait()
    lu.assertNil(value)
    lu.assertEquals(status.source, mpi.PROC_NULL)
    value, status = comm:Irecv(array.zeros(3), mpi.PROC_NULL):wait()
    lu.assertEquals(status.count, 0)
    comm:isend({}, mpi.PROC_NULL):wait()
    comm:Isend(array.zeros(9000), mpi.PROC_NULL):wait()
    comm:Issend(array.zeros(9), mpi.PROC_NULL):wait()
end

function TestRequests:test_an_operator_that_raises_does_so_each_time()
    local times = 0
    local r = comm:Iallreduce(array.of {1, 2}, nil, function ()
        times = times + 1
        error("no sum", 0)
    end)
    if size == 1 then
        lu.assertEquals((r:wait()):totable(), {1, 2})
        return
    end
    for _ = 1, 3 do lu.assertEquals(message(r.wait, r), "no sum") end
    lu.assertEquals(times, 1)
end

function TestRequests:test_an_operator_cannot_wait_for_its_own_result()
    local r, inner
    r = comm:Iallreduce(array.of {1}, nil, function (a, b)
        inner = message(r.wait, r)
        return a + b
    end)
    lu.assertEquals((r:wait())[1], size)
    if size > 1 then lu.assertStrContains(inner, "an operator cannot communicate") end
    lu.assertEquals((r:wait())[1], size)
end

function TestRequests:test_ibarrier()
    everywhere(function (c)
        local b = c:ibarrier()
        b:wait()
        lu.assertTrue((b:test()))
    end)
end

function TestRequests:test_what_is_no_request_raises()
    lu.assertEquals(message(mpi.waitall, {1}), "bad argument #1 to 'mpi.waitall' (entry 1: mpi.request expected, got number)")
    lu.assertEquals(message(mpi.waitany), "bad argument #1 to 'mpi.waitany' (table expected, got no value)")
    local r = comm:irecv(rank, 999)
    lu.assertStrMatches(tostring(r), "mpi.request %(irecv at tests/test_request.lua:%d+, open%)")
    r:cancel()
    lu.assertStrMatches(tostring(r), "mpi.request %(irecv at tests/test_request.lua:%d+, cancelled%)")
end

function TestRequests:test_dropped_handles_do_not_disturb_what_they_stand_for()
    everywhere(function (c)
        local right, left = ring(c)
        local receives = {}
        for i = 1, 50 do
            receives[i] = c:Irecv(array.zeros(2000), left, i)
            array.zeros(20000)
            collectgarbage()
        end
        local sends = {}
        for i = 1, 50 do
            sends[i] = c:Isend(array.full(2000, i), right, i)
            if i % 10 == 0 then collectgarbage() end
        end
        local values = mpi.waitall(receives)
        for i = 1, 50 do lu.assertEquals({values[i][1], values[i][2000]}, {i, i}) end
        mpi.waitall(sends)
    end)
end

TestMany = {}

function TestMany:test_memory_beside_what_is_received_is_free()
    local a = array.zeros {6, 10}
    local function columns(first, last) return a:slice({1, -1}, {first, last}) end
    local requests = {comm:Irecv(columns(1, 2), 0, 1), comm:Irecv(columns(9, 10), 0, 2), comm:Irecv(a:slice({6, 6}, {3, 8}), 0, 3)}
    a:slice({1, 5}, {3, 8}):add_(1)
    a:slice({5, 6}, {3, 2}):fill(1)
    a:set(1, 8, 2)
    local received = "the array is being received into by a request that is not complete"
    for _, at in ipairs {{1, 2}, {6, 3}, {3, 9}} do
        lu.assertStrContains(message(a.set, a, at[1], at[2], 1), received)
        lu.assertStrContains(message(function () a[at[1]][at[2]] = 1 end), received)
    end
    a[5][8] = 3
    for _, view in ipairs {columns(2, 3), columns(8, 9), columns(3, 8), a:row(1), a:col(10), a:t(), a:slice({1, 5}, {1, 9})} do
        lu.assertStrContains(message(view.fill, view, 1), received)
    end
    local cube = array.zeros {4, 5, 6}
    requests[4] = comm:Irecv(cube:slice({1, -1}, {1, -1}, {1, 2}), 0, 4)
    requests[5] = comm:Irecv(cube:slice({1, -1}, {5, 5}, {3, 6}), 0, 5)
    cube:slice({1, -1}, {1, 4}, {3, 6}):fill(1)
    for _, view in ipairs {cube:slice({2, 2}, {3, 3}, {2, 6}), cube:slice({1, -1}, {4, 5}, {5, 5}), cube[2]} do
        lu.assertStrContains(message(view.fill, view, 1), received)
    end
    for _, request in ipairs(requests) do lu.assertTrue(request:cancel()) end
    lu.assertEquals({a:sum(), cube:sum()}, {33, 64})
end

function TestMany:test_open_requests_outlive_their_communicator()
    for _, many in ipairs {0, 300} do -- the more are open, the later a message is seen to have come
        everywhere(function (c)
            local right, left = ring(c)
            local others, d = {}, c:dup()
            for i = 1, many do others[i] = c:irecv(left, 100 + i) end
            local a = array.zeros(5000)
            local receives = {d:irecv(left, 1), d:irecv(left, 2), d:Irecv(a, left, 3), d:irecv(left, 4)}
            c:barrier()
            local sends = {d:isend(("x"):rep(100000), right, 1), d:isend("short", right, 2), d:Isend(array.ones(5000), right, 3)}
            d:free()
            lu.assertTrue(receives[4]:cancel())
            local values = mpi.waitall {receives[1], receives[2], receives[3]}
            lu.assertEquals({#values[1], values[2], values[3]:sum()}, {100000, "short", 5000})
            mpi.waitall(sends)
            lu.assertStrContains(message(d.send, d, 1, 0), "the communicator was freed")
            for i = 1, many do lu.assertTrue(others[i]:cancel()) end
        end)
    end
end

function TestMany:test_open_receives_by_the_thousand_leave_other_messages_their_way()
    local right, left = (rank + 1) % size, (rank - 1) % size
    local receives = {}
    for i = 1, 3000 do receives[i] = comm:irecv(left, 50 + i) end
    for i = 1, 100 do lu.assertEquals((comm:sendrecv(i, right, left, 1, 1)), i) end
    for i = 3000, 1, -1 do comm:send(i, right, 50 + i) end
    local values, statuses = mpi.waitall(receives)
    for i = 1, 3000 do lu.assertEquals({values[i], statuses[i].tag}, {i, 50 + i}) end
end

os.exit(lu.run())
