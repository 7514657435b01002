-- Coroutines are those of Lua, although the runtime keeps an eye on which one runs.
local lu = require "mpi.luaunit"

TestCoroutines = {}

function TestCoroutines:test_values_go_in_and_out()
    local thread = coroutine.create(function (a, b)
        local c = coroutine.yield(a + b)
        local d, e = coroutine.yield(c * 2)
        return d, e, nil
    end)
    lu.assertEquals({coroutine.resume(thread, 1, 2)}, {true, 3})
    lu.assertEquals({coroutine.resume(thread, 10)}, {true, 20})
    lu.assertEquals(table.pack(coroutine.resume(thread, "d", "e")), {true, "d", "e", nil, n = 4})
    lu.assertEquals({coroutine.resume(thread)}, {false, "cannot resume dead coroutine"})
end

function TestCoroutines:test_errors_of_resume()
    lu.assertErrorMsgContains("bad argument #1 to 'resume' (thread expected, got no value)", function () coroutine.resume() end)
    lu.assertEquals({coroutine.resume(coroutine.running())}, {false, "cannot resume non-suspended coroutine"})
    local object = {}
    lu.assertEquals({coroutine.resume(coroutine.create(function () error(object) end))}, {false, object})
    lu.assertErrorMsgContains("bad argument #1 to 'coroutine.wrap' (function expected, got number)", coroutine.wrap, 1)
end

function TestCoroutines:test_a_wrapped_one_is_an_iterator()
    local got = {}
    for i in coroutine.wrap(function () for i = 1, 3 do coroutine.yield(i) end end) do got[#got + 1] = i end
    lu.assertEquals(got, {1, 2, 3})
end

function TestCoroutines:test_a_wrapped_one_passes_errors_on_with_the_place()
    local f = coroutine.wrap(function () error("inside", 0) end)
    local fine, message = pcall(function () f() end)
    lu.assertEquals({fine, message}, {false, "tests/test_coroutine.lua:34: inside"})
    lu.assertErrorMsgContains("cannot resume dead coroutine", f)
end

function TestCoroutines:test_an_error_closes_the_variables_of_a_wrapped_one()
    local closed
    local f = coroutine.wrap(function ()
        local guard <close> = setmetatable({}, {__close = function (_, e) closed = e end})
        error("over", 0)
    end)
    lu.assertErrorMsgContains("over", f)
    lu.assertEquals(closed, "over")
end

function TestCoroutines:test_closing_one_closes_its_variables()
    local closed
    local function with_guard(problem)
        local thread = coroutine.create(function ()
            local guard <close> = setmetatable({}, {__close = function (_, e)
                closed = {e}
                if problem then error(problem, 0) end
            end})
            coroutine.yield()
        end)
        coroutine.resume(thread)
        return thread
    end
    local thread = with_guard()
    lu.assertEquals({coroutine.close(thread)}, {true})
    lu.assertEquals(closed, {})
    lu.assertEquals(coroutine.status(thread), "dead")
    lu.assertEquals({coroutine.close(thread)}, {true})
    lu.assertEquals({coroutine.close(with_guard "late")}, {false, "late"})
    lu.assertEquals({coroutine.close(coroutine.create(print))}, {true})
end

function TestCoroutines:test_one_that_runs_is_not_closed()
    lu.assertErrorMsgContains("bad argument #1 to 'coroutine.close' (thread expected, got no value)", coroutine.close)
    lu.assertErrorMsgContains("cannot close a running coroutine", coroutine.close, (coroutine.running()))
    local outer
    outer = coroutine.create(function () return coroutine.wrap(function () return pcall(coroutine.close, outer) end)() end)
    lu.assertEquals({coroutine.resume(outer)}, {true, false, "cannot close a normal coroutine"})
end

function TestCoroutines:test_one_inside_another_may_sleep_and_communicate()
    local f = coroutine.wrap(function ()
        local g = coroutine.wrap(function ()
            mpi.sleep(0.001)
            coroutine.yield(comm:allreduce(1))
        end)
        coroutine.yield(g())
    end)
    lu.assertEquals(f(), comm:size())
end

os.exit(lu.run())
