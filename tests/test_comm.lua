local lu = require "mpi.luaunit"
local support = dofile "tests/support.lua"
local message = support.message
local rank, size = comm:rank(), comm:size()

TestComm = {}

function TestComm:test_rank_and_size_are_those_of_the_job()
    lu.assertTrue(rank >= 0 and rank < size)
    lu.assertEquals(mpi.COMM_SELF:rank(), 0)
    lu.assertEquals(mpi.COMM_SELF:size(), 1)
end

function TestComm:test_ranks_are_all_different()
    local seen = {}
    for _, r in ipairs(comm:allgather(rank)) do seen[r] = true end
    for r = 0, size - 1 do lu.assertTrue(seen[r]) end
end

function TestComm:test_the_global_comm_is_world()
    lu.assertTrue(comm == mpi.COMM_WORLD)
    lu.assertTrue(comm ~= mpi.COMM_SELF)
    lu.assertEquals(tostring(comm), ("mpi.COMM_WORLD (rank %d of %d)"):format(rank, size))
end

function TestComm:test_a_dup_is_congruent_and_apart()
    local d <close> = comm:dup()
    lu.assertEquals(comm:compare(d), "congruent")
    lu.assertEquals(comm:compare(comm), "ident")
    lu.assertFalse(d == comm)
    lu.assertEquals({d:rank(), d:size()}, {rank, size})
    -- a message on one is not received on the other
    if size > 1 then
        local other = rank ~ 1
        if other < size then
            d:send("dup", other)
            comm:send("world", other)
            lu.assertEquals(comm:recv(other), "world")
            lu.assertEquals(d:recv(other), "dup")
        end
    end
end

function TestComm:test_names()
    local d <close> = comm:dup()
    lu.assertEquals(d:name(), "")
    lu.assertEquals(d:name("halo"), "halo")
    lu.assertStrContains(tostring(d), "halo (rank")
    lu.assertEquals(message(d.name, d, ("x"):rep(64)), "bad argument #2 to 'mpi.comm.name' (a name has at most 63 bytes)")
end

function TestComm:test_split_by_colour_orders_by_key()
    local s <close> = comm:split(rank % 2, -rank)
    local mates = 0
    for r = 0, size - 1 do if r % 2 == rank % 2 then mates = mates + 1 end end
    lu.assertEquals(s:size(), mates)
    local members = s:allgather(rank)
    for i = 2, #members do lu.assertTrue(members[i] < members[i - 1]) end
end

function TestComm:test_split_with_undefined_gives_nil()
    local s = comm:split(rank == 0 and 7 or mpi.UNDEFINED)
    if rank == 0 then
        lu.assertEquals(s:size(), 1)
        s:free()
    else
        lu.assertNil(s)
    end
end

function TestComm:test_split_type_shared_is_the_machine()
    local s <close> = comm:split_type "shared"
    lu.assertTrue(s:size() >= 1)
    lu.assertStrContains(message(comm.split_type, comm, "numa"), [[the type is "shared"]])
end

function TestComm:test_subset_takes_the_ranks_in_its_order()
    local list = {}
    for r = size - 1, 0, -2 do list[#list + 1] = r end
    local s = comm:subset(list)
    local place
    for i, r in ipairs(list) do if r == rank then place = i - 1 end end
    lu.assertEquals(s and s:rank(), place)
    if s then
        lu.assertEquals(s:size(), #list)
        s:free()
    end
end

function TestComm:test_subset_refuses_what_is_no_list_of_ranks()
    lu.assertStrContains(message(comm.subset, comm, {0, size}), ("entry 2 is not a rank from 0 to %d"):format(size - 1))
    lu.assertStrContains(message(comm.subset, comm, {0, 0}), "rank 0 is listed twice")
    lu.assertStrContains(message(comm.subset, comm), "list of ranks expected, got no value")
end

function TestComm:test_a_freed_communicator_raises()
    local d = comm:dup()
    d:free()
    d:free() -- once more does nothing
    lu.assertEquals(message(d.rank, d), "bad argument #1 to 'mpi.comm.rank' (the communicator was freed)")
    lu.assertEquals(tostring(d), "mpi.comm (freed)")
    lu.assertEquals(message(function () d:send(1, 0) end), "calling 'send' on bad self (the communicator was freed)")
end

function TestComm:test_a_communicator_that_is_at_work_cannot_be_freed()
    local d, tried = mpi.COMM_SELF:dup(), nil
    package.loaded["module at work"] = {}
    local s = d:isend(package.loaded["module at work"], 0)
    package.loaded["module at work"] = nil
    local original = require
    require = function ()
        tried = message(d.free, d)
        return true
    end
    local value = d:recv(0)
    require = original
    s:wait()
    lu.assertEquals({value, tried}, {true, "free: comm:recv is under way on the communicator"})
    d:free()
end

function TestComm:test_world_cannot_be_freed()
    lu.assertEquals(message(comm.free, comm), "mpi.COMM_WORLD cannot be freed")
end

function TestComm:test_a_method_on_something_else_raises()
    lu.assertEquals(message(comm.rank, 1), "bad argument #1 to 'mpi.comm.rank' (mpi.comm expected, got number)")
    lu.assertEquals(message(comm.rank, io.stdout), "bad argument #1 to 'mpi.comm.rank' (mpi.comm expected, got FILE*)")
    lu.assertEquals(message(comm.rank, array.zeros(3)), "bad argument #1 to 'mpi.comm.rank' (mpi.comm expected, got mpi.array)")
end

function TestComm:test_a_mistake_on_one_rank_raises_on_all()
    if size == 1 then lu.skip "one rank" end
    local last = size - 1
    local text = message(comm.split, comm, rank == last and "red" or 1)
    lu.assertStrContains(text, ("[%d] bad argument #1 to 'split' (color: integer expected, got string) at"):format(last))
    lu.assertEquals(comm:allreduce(1), size)
end

TestMpi = {}

function TestMpi:test_the_module_is_there_as_a_global_and_by_require()
    lu.assertIs(require "mpi", mpi)
    lu.assertIs(mpi.array, array)
    lu.assertStrMatches(mpi.version, "%d+%.%d+%.%d+")
    lu.assertStrContains(mpi.library_version, "Open MPI")
end

function TestMpi:test_environment()
    local t = mpi.wtime()
    mpi.sleep(0.001)
    lu.assertTrue(mpi.wtime() > t)
    lu.assertTrue(mpi.getpid() > 1)
    lu.assertTrue(#mpi.processor_name() > 0)
    lu.assertTrue(mpi.cores() >= 1)
    lu.assertStrContains(message(mpi.sleep, -1), "seconds from 0")
end

function TestMpi:test_constants_print_their_names()
    lu.assertEquals(tostring(mpi.SUM), "mpi.SUM")
    lu.assertEquals(tostring(mpi.MINLOC), "mpi.MINLOC")
    lu.assertEquals(tostring(mpi.IN_PLACE), "mpi.IN_PLACE")
    lu.assertEquals(math.type(mpi.ANY_SOURCE), "integer")
end

function TestMpi:test_scripts_load_text_only()
    local binary = string.dump(function () end)
    lu.assertNil((load(binary)))
    lu.assertNil((load(binary, "x", "bt")))
    lu.assertEquals(load("return ...")(5), 5)
    lu.assertEquals(load("return x", "x", "t", {x = 3})(), 3)
end

function TestMpi:test_a_name_the_module_does_not_have_raises()
    lu.assertErrorMsgContains("the module mpi has no 'MAXIMUM'", function () return comm:allreduce(1, mpi.MAXIMUM) end)
end

function TestMpi:test_a_method_called_with_a_dot_is_told_so()
    local problem = message(function () comm.send("hi", 0) end)
    lu.assertEquals(problem, "bad argument #1 to 'send' (mpi.comm expected, got string; a method is called with a colon, as comm:send(…))")
end

os.exit(lu.run())
