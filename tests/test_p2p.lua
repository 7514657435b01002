local lu = require "mpi.luaunit"
local support = dofile "tests/support.lua"
local message, everywhere, ring = support.message, support.everywhere, support.ring
local rank, size = comm:rank(), comm:size()

TestValues = {}

function TestValues:test_values_of_every_kind_arrive()
    everywhere(function (c)
        local right, left = ring(c)
        for _, v in ipairs {true, 0, -1, 1 << 62, 0.1, -0.0, 1 / 0, "", "a\0b", ("x"):rep(100000), {}, {1, {2}, x = {y = {}}}} do
            lu.assertEquals(c:sendrecv(v, right, left), v)
        end
        lu.assertNil((c:sendrecv(nil, right, left)))
    end)
end

function TestValues:test_everything_at_once_arrives_at_rank_1()
    if size == 1 then lu.skip "one rank" end
    local function value()
        local count = 0
        local t = {nan = 0 / 0, zero = -0.0, largest = math.maxinteger, bytes = "a\0b\0", [1] = 1, [2] = 2, [5] = 5}
        t.self = t
        t.up = function () count = count + 1 return count end
        t.get = function () return count end
        t.array = array.of {{1, 2}, {3, 4}}
        t.same = t.array
        return t
    end
    if rank == 0 then comm:send(value(), 1, 11) end
    if rank == 1 then
        local t = comm:recv(0, 11)
        lu.assertIs(t.self, t)
        lu.assertTrue(t.nan ~= t.nan)
        lu.assertEquals(1 / t.zero, -1 / 0)
        lu.assertEquals({t.largest, t.bytes, t[1], t[2], t[5]}, {math.maxinteger, "a\0b\0", 1, 2, 5})
        lu.assertNil(t[3])
        lu.assertEquals({t.up(), t.up(), t.get()}, {1, 2, 2})
        lu.assertTrue(t.array == array.of {{1, 2}, {3, 4}})
        lu.assertIs(t.same, t.array)
    end
end

function TestValues:test_sizes_around_the_envelope()
    everywhere(function (c)
        local right, left = ring(c)
        for n = 3950, 4010 do
            local s = ("%d"):format(c:rank()):rep(n)
            local got, status = c:sendrecv(s, right, left, 5)
            lu.assertEquals(got, ("%d"):format(left):rep(n))
            lu.assertEquals({status.source, status.tag}, {left, 5})
        end
    end)
end

function TestValues:test_the_status_tells_source_tag_and_bytes()
    local right, left = ring(comm)
    local _, status = comm:sendrecv("abc", right, left, 9)
    lu.assertEquals({status.source, status.tag, status.cancelled}, {left, 9, false})
    lu.assertTrue(status.count >= 3 and status.count < 10)
    lu.assertStrMatches(tostring(status), "status {source = %d, tag = 9, count = %d}")
end

function TestValues:test_messages_keep_their_order()
    local right, left = ring(comm)
    if size == 1 then lu.skip "one rank" end
    local long = ("l"):rep(5000)
    if rank == 0 then
        for i = 1, 50 do comm:send(i % 3 == 0 and {i, long} or {i}, 1) end
    elseif rank == 1 then
        for i = 1, 50 do lu.assertEquals(comm:recv(0)[1], i) end
    end
end

function TestValues:test_receiving_by_tag_passes_others_over()
    if size == 1 then lu.skip "one rank" end
    if rank == 0 then
        comm:send("a", 1, 1)
        comm:send("b", 1, 2)
    elseif rank == 1 then
        lu.assertEquals(comm:recv(0, 2), "b")
        lu.assertEquals(comm:recv(0, 1), "a")
    end
end

function TestValues:test_any_source_receives_from_all()
    if rank == 0 then
        local seen = {}
        for _ = 1, size - 1 do
            local v, status = comm:recv(mpi.ANY_SOURCE, mpi.ANY_TAG)
            lu.assertEquals({v, status.tag}, {status.source * 10, status.source})
            seen[status.source] = true
        end
        for r = 1, size - 1 do lu.assertTrue(seen[r]) end
    else
        comm:send(rank * 10, 0, rank)
    end
end

function TestValues:test_a_rank_may_send_to_itself()
    everywhere(function (c)
        c:send({"self"}, c:rank(), 3)
        lu.assertEquals(c:recv(c:rank(), 3), {"self"})
    end)
end

function TestValues:test_ssend_arrives()
    if size == 1 then lu.skip "one rank" end
    if rank == 0 then
        comm:ssend("s", 1)
        comm:ssend(("s"):rep(10000), 1)
    elseif rank == 1 then
        lu.assertEquals(comm:recv(0), "s")
        lu.assertEquals(#comm:recv(0), 10000)
    end
end

function TestValues:test_proc_null_is_nobody()
    comm:send({}, mpi.PROC_NULL)
    comm:ssend({}, mpi.PROC_NULL)
    local v, status = comm:recv(mpi.PROC_NULL)
    lu.assertNil(v)
    lu.assertEquals({status.source, status.tag, status.count}, {mpi.PROC_NULL, mpi.ANY_TAG, 0})
    v, status = comm:sendrecv(1, mpi.PROC_NULL, mpi.PROC_NULL)
    lu.assertNil(v)
    lu.assertEquals(status.source, mpi.PROC_NULL)
    lu.assertEquals(comm:probe(mpi.PROC_NULL).source, mpi.PROC_NULL)
end

function TestValues:test_what_cannot_be_sent_raises_before_a_byte_is_sent()
    local co = coroutine.create(print)
    lu.assertEquals(message(comm.send, comm, {jobs = {1, 2, {co = co}}}, 0), "cannot send a thread at value.jobs[3].co")
    lu.assertNil(comm:iprobe())
end

function TestValues:test_wrong_arguments_raise()
    local who = ("the ranks of this communicator are 0 to %d"):format(size - 1)
    lu.assertEquals(message(function () comm:send(1) end), "bad argument #2 to 'send' (dest is missing)")
    lu.assertEquals(message(function () comm:send() end), "bad argument #1 to 'send' (value expected)")
    lu.assertEquals(message(function () comm:send(1, size) end), ("bad argument #2 to 'send' (dest is %d, but %s)"):format(size, who))
    lu.assertEquals(message(function () comm:send(1, mpi.ANY_SOURCE) end), ("bad argument #2 to 'send' (dest is -1, but %s)"):format(who))
    lu.assertEquals(message(function () comm:send(1, 0, -7) end), "bad argument #3 to 'send' (tag is -7, expected 0 to 2147483647)")
    lu.assertEquals(message(function () comm:send(1, 0, mpi.ANY_TAG) end), "bad argument #3 to 'send' (tag is -1, expected 0 to 2147483647)")
    lu.assertEquals(message(function () comm:send(1, 0, 1 << 40) end), "bad argument #3 to 'send' (tag is 1099511627776, expected 0 to 2147483647)")
    lu.assertEquals(message(function () comm:send(1, "a") end), "bad argument #2 to 'send' (dest: integer expected, got string)")
    lu.assertEquals(message(function () comm:send(1, comm) end), "bad argument #2 to 'send' (dest: integer expected, got mpi.comm)")
    lu.assertEquals(message(function () comm:recv(1.5) end), "bad argument #1 to 'recv' (source: integer expected, got 1.5)")
    lu.assertEquals(message(function () comm:recv(-9) end), ("bad argument #1 to 'recv' (source is -9, but %s)"):format(who))
    lu.assertEquals(message(function () comm:probe(0, {}) end), "bad argument #2 to 'probe' (tag: integer expected, got table)")
end

TestArrays = {}

function TestArrays:test_every_dtype_and_size_arrives_and_nothing_behind_it_changes()
    everywhere(function (c)
        local right, left = ring(c)
        for _, dtype in ipairs(support.dtypes) do
            for _, n in ipairs {0, 1, 2, 7, 498, 499, 4000, 5000} do
                local a, b = array.full(n, c:rank() + 1, dtype), array.full(n + 1, 99, dtype)
                local status = c:Sendrecv(a, right, b:slice(1, n), left, n)
                lu.assertEquals({status.source, status.tag, status.count}, {left, n, n})
                for i = 1, n, math.max(1, n // 9) do lu.assertEquals(b[i], left + 1) end
                lu.assertEquals(b[n + 1], 99)
            end
        end
    end)
end

function TestArrays:test_fewer_elements_than_the_array_has()
    everywhere(function (c)
        local right, left = ring(c)
        for _, n in ipairs {3, 3000} do
            local b = array.full(5000, -1)
            lu.assertEquals(c:Sendrecv(array.ones(n), right, b, left).count, n)
            lu.assertEquals({b[n], b[n + 1]}, {1, -1})
        end
    end)
end

function TestArrays:test_a_row_and_a_column_travel()
    everywhere(function (c)
        local right, left = ring(c)
        for _, n in ipairs {4, 900} do
            local m = array.full({n, 3}, c:rank(), "int32")
            local to = array.full({n, 3}, -1, "int32")
            c:Sendrecv(m:col(2), right, to:col(3), left)
            lu.assertEquals({to:get(1, 3), to:get(n, 3), to:get(1, 2), to:get(n, 1)}, {left, left, -1, -1})
            c:Sendrecv(m[1], right, to[n], left)
            lu.assertEquals(to[n]:totable(), {left, left, left})
        end
    end)
end

function TestArrays:test_send_and_recv_and_their_synchronous_form()
    if size == 1 then lu.skip "one rank" end
    for _, n in ipairs {10, 10000} do
        for _, how in ipairs {"Send", "Ssend"} do
            if rank == 0 then comm[how](comm, array.range(1, n), 1, 4) end
            if rank == 1 then
                local b = array.zeros(n, "int64")
                local status = comm:Recv(b, 0, 4)
                lu.assertEquals({status.count, b[1], b[n]}, {n, 1, n})
            end
        end
    end
end

function TestArrays:test_shapes_need_not_agree()
    local right, left = ring(comm)
    local b = array.zeros {2, 3}
    comm:Sendrecv(array.of {1, 2, 3, 4, 5, 6}, right, b, left)
    lu.assertEquals(b:totable(), {{1, 2, 3}, {4, 5, 6}})
end

function TestArrays:test_recv_into_a_short_array_raises_and_touches_nothing()
    everywhere(function (c)
        local right, left = ring(c)
        for _, n in ipairs {65, 625, 5000, 300000} do
            local memory = array.full(66, 7, "uint8")
            local text = message(c.Sendrecv, c, array.zeros(n, "uint8"), right, memory:slice(2, 65), left, 3)
            lu.assertEquals(text, ("Sendrecv: the message from rank %d (tag 3) has %d uint8 elements, the array only 64"):format(left, n))
            for i = 1, 66 do lu.assertEquals(memory[i], 7) end
            -- the message is gone, the next one arrives
            lu.assertEquals(c:sendrecv("next", right, left), "next")
        end
    end)
end

function TestArrays:test_a_refused_message_does_not_block_its_sender()
    if size == 1 then lu.skip "one rank" end
    if rank == 0 then
        comm:Send(array.zeros(100000), 1)
        comm:Ssend(array.zeros(100000), 1)
        comm:send("after", 1)
    elseif rank == 1 then
        local b = array.zeros(10)
        lu.assertStrContains(message(comm.Recv, comm, b, 0), "has 100000 float64 elements, the array only 10")
        lu.assertStrContains(message(comm.Recv, comm, b, 0), "has 100000 float64 elements, the array only 10")
        lu.assertEquals(comm:recv(0), "after")
    end
end

function TestArrays:test_another_dtype_raises()
    local right, left = ring(comm)
    for _, n in ipairs {3, 3000} do
        lu.assertEquals(message(comm.Sendrecv, comm, array.zeros(n, "float32"), right, array.zeros(n, "int32"), left),
            ("Sendrecv: the message from rank %d (tag 0) holds float32, the array is int32"):format(left))
    end
end

function TestArrays:test_values_and_arrays_do_not_mix()
    everywhere(function (c)
        local r = c:rank()
        c:send("text", r)
        lu.assertEquals(message(c.Recv, c, array.zeros(9), r), ("Recv: the message from rank %d (tag 0) is a value, not an array; receive it with recv"):format(r))
        c:Send(array.zeros(9), r)
        lu.assertEquals(message(c.recv, c, r), ("recv: the message from rank %d (tag 0) is an array of 9 float64 elements; receive it with Recv"):format(r))
        lu.assertNil(c:iprobe())
    end)
end

function TestArrays:test_one_array_cannot_be_both_sides()
    local a = array.zeros(10)
    lu.assertStrContains(message(comm.Sendrecv, comm, a, 0, a:slice(5, 7), 0), "the two arrays share memory")
    local right, left = ring(comm)
    lu.assertEquals(comm:Sendrecv(a:slice(1, 5), right, a:slice(6, 10), left).count, 5)
end

function TestArrays:test_what_is_no_array_raises()
    lu.assertEquals(message(function () comm:Send({1, 2}, 0) end), "bad argument #1 to 'Send' (mpi.array expected, got table)")
    lu.assertEquals(message(function () comm:Recv() end), "bad argument #1 to 'Recv' (mpi.array expected, got no value)")
end

function TestArrays:test_proc_null_leaves_the_array()
    local a = array.ones(3)
    comm:Send(a, mpi.PROC_NULL)
    local status = comm:Recv(a, mpi.PROC_NULL)
    lu.assertEquals({status.source, status.count, a:sum()}, {mpi.PROC_NULL, 0, 3})
    status = comm:Sendrecv(a, mpi.PROC_NULL, array.zeros(3), mpi.PROC_NULL)
    lu.assertEquals(status.source, mpi.PROC_NULL)
end

TestProbe = {}

function TestProbe:test_iprobe_finds_nothing_where_nothing_is()
    everywhere(function (c) lu.assertNil(c:iprobe()) end)
end

function TestProbe:test_probe_tells_the_count_of_small_and_large_messages()
    everywhere(function (c)
        local r = c:rank()
        for _, n in ipairs {0, 3, 400, 40000} do
            local request = c:size() == 1 and n > 400
            if not request then
                local right, left = ring(c)
                if r % 2 == 0 or c:size() == 1 then c:Send(array.ones(n, "int16"), c:size() == 1 and r or right, 6) end
                if (r % 2 == 1 or c:size() == 1 or (r == 0 and c:size() % 2 == 1)) then
                    local from = c:size() == 1 and r or left
                    local status = c:probe(from, 6)
                    lu.assertEquals({status.source, status.tag, status.count}, {from, 6, n})
                    lu.assertEquals(c:iprobe(from).count, n)
                    local b = array.zeros(status.count, "int16")
                    lu.assertEquals(c:Recv(b, from, 6).count, n)
                    lu.assertEquals(b:sum(), n)
                end
            end
            c:barrier()
        end
        lu.assertNil(c:iprobe())
    end)
end

function TestProbe:test_a_probed_message_does_not_overtake()
    everywhere(function (c)
        local r = c:rank()
        c:send("first", r, 1)
        c:send("second", r, 2)
        c:send("third", r, 1)
        lu.assertEquals(c:probe(r, 2).tag, 2)
        lu.assertEquals(c:recv(r), "first")
        lu.assertEquals(c:recv(r), "second")
        lu.assertEquals(c:recv(r, 1), "third")
    end)
end

function TestProbe:test_probes_in_any_order_keep_the_order_of_each_tag()
    everywhere(function (c)
        local r = c:rank()
        for i = 1, 20 do c:send(i, r, i % 4) end
        for tag = 3, 0, -1 do lu.assertEquals(c:probe(r, tag).tag, tag) end
        local last = {[0] = 0, 0, 0, 0}
        for _ = 1, 20 do
            local v, status = c:recv(r)
            lu.assertTrue(v > last[status.tag])
            last[status.tag] = v
        end
        lu.assertEquals(last, {[0] = 20, 17, 18, 19})
    end)
end

TestHooks = {}

function TestHooks:test_a_hook_that_raises_loses_no_message_that_is_probed()
    local text, inside = ("precious"):rep(1000), false
    local request = comm:isend(text, rank, 3)
    debug.sethook(function ()
        local called = debug.getinfo(2, "f").func
        if inside and called ~= debug.sethook then error("stopped by a hook", 0) end
        inside = inside or called == comm.probe
    end, "c")
    local fine, status = pcall(comm.probe, comm, rank, 3)
    debug.sethook()
    lu.assertTrue(fine, tostring(status))
    lu.assertEquals(comm:recv(rank, 3), text)
    request:wait()
end

os.exit(lu.run())
