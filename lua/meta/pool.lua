---@meta

--- # Pools
---
--- A pool turns a job into one program that gives work to all ranks: a function runs on rank 0, the other ranks serve it
--- until it returns.
---
---     mpi.pool(function (pool)
---         print(table.concat(pool:call(mpi.getpid), " "))       -- every rank does it, rank 0 too
---         local future = pool:submit(function (x) return x * x end, 7)   -- one rank does it, whichever is free
---         print(future:get())
---     end)
---
--- With `luampi -m script.lua` the whole script is that function, and `pool` is global on rank 0.
---
--- **What is given** to a rank, function and arguments, travels as every value does (see What travels): closures bring
--- copies of their upvalues, globals are those of the rank where they run, on rank 0 as well. What cannot travel raises
--- when it is given, naming the place: `cannot send a thread at value.f (upvalue 'co')`.
---
--- **Who does it.** `call` and its kin are done by every rank of the pool at once; in them the ranks may use collectives.
--- What is submitted is done by whichever rank is free; a busy rank has one task more, so that it can go on at once, but
--- none waits behind a long one while another rank is free. Rank 0 does tasks while it waits for results (not while a
--- wait is limited), and keeps giving the others work whatever it does, also while it waits for a message; only inside
--- one collective, one long `send` or another long call of a C function it cannot. A task that only rank 0 can do, as all
--- in a pool of one rank, is done when its future is asked for. Finalizers and hooks may submit and cancel at any time, but
--- wait only when the pool is not at work.
---
--- **Parts.** `pool[2]` is rank 2 alone, `pool{0, 2}` are these two ranks, with the same methods. Lists are then by
--- position in the part, as in its `ids`.
---
--- **Errors** of several ranks come as one error object that groups equal messages: its `tostring` is `attempt to index a
--- nil value (global 'z')  [ranks 0-3]`, with a line for each different message. Its fields `message`, `traceback`, `rank`
--- and `value` (what was raised, when that is no string and can travel) are those of the first rank, and `errors` is the
--- list of all.
---
--- **The end.** What the function returns is returned on rank 0, the other ranks get nothing. When it raises, `mpi.pool`
--- raises the same on every rank. Futures that are still open are cancelled. `os.exit` in the function ends all ranks.
--- A task cannot use its pool.

---@class mpi
local mpi = {}

--- Runs `f(pool)` on rank 0 of the communicator while its other ranks serve. Collective.
---
--- A pool on another communicator may be used inside of one: in a call by all ranks of that communicator, or on
--- `mpi.COMM_SELF`.
--- A rank whose task is cancelled in there leaves that pool: when it is its rank 0, `mpi.pool` raises on
--- the others; else what it was given there has failed.
---@param f fun(pool: pool): any only rank 0's is called
---@param comm? mpi.comm default `mpi.COMM_WORLD`
---@return any ... on rank 0, what f returned
function mpi.pool(f, comm) end

--- An iterator of the futures in the order in which they end.
---
---     for future in mpi.as_completed(futures) do print(future.rank, future:get()) end
---
--- The loop may be left at any time.
---@param futures mpi.future[] of one pool
---@return fun(): mpi.future?
function mpi.as_completed(futures) end

--- ## Work for every rank

--- Ranks that do what they are given: all of a communicator, or a part of them.
---@class pool
---@field ids integer[] The ranks.
local pool = {}

--- How many ranks it has.
---@return integer
function pool:size() end

--- Has every rank call `f(…)`, and waits for all.
---
---     print(pool:call(function (name) return name .. comm:rank() end, "rank ")[2])
---@param f fun(...): any
---@param ... any
---@return any[] results by rank: what each call returned first
function pool:call(f, ...) end

--- Has every rank run a chunk of Lua, whose globals are the rank's.
---
---     pool:exec "t = {} for i = 1, 10 do t[i] = i * comm:rank() end"
---@param code string
---@return any[] results by rank: what the chunk returned first
function pool:exec(code) end

--- Sets globals on every rank.
---
--- A name may lead into tables: `pool:push {["settings.depth"] = 3}`.
---@param values table<string, any>
function pool:push(values) end

--- Brings a global of every rank.
---@param name string may lead into tables: "settings.depth"
---@return any[] values by rank
function pool:pull(name) end

--- Divides a list, or the rows of an array, into blocks and sets a global of each rank to its block.
---
--- The blocks are of neighbours. Where they do not come out even, the first ones have one more.
---@param name string
---@param items any[]|mpi.array
function pool:scatter(name, items) end

--- Joins the blocks of all ranks to one list, or one array.
---@param name string
---@return any[]|mpi.array
function pool:gather(name) end

--- ## Work for whoever is free

--- Does `f(item, index)` for every item, as `comm:map` does: no rank waits for another, rank 0 works too.
---
---     local squares = pool:map(function (x) return x * x end, {1, 2, 3, 4, 5, 6, 7, 8})
---
--- Function and items come from rank 0, and the results go there. Options as of `comm:map`, except `to`, `root`, `items`.
--- The ranks first end what they were given before. In `info.per_rank` entry i is of rank `ids[i]`.
---@param f fun(item: any, index: integer): any
---@param items any[]|mpi.array|integer|(fun(): any)
---@param opts? table
---@return any[]|mpi.array results
---@return mpi.map_info info
function pool:map(f, items, opts) end

--- As `map` where each item is a list of arguments: calls `f(a, b, …)`.
---
---     pool:starmap(math.max, {{1, 5}, {7, 2}})   --> {5, 7}
---@param f fun(...): any
---@param items any[][]|mpi.array lists, or the rows of an array
---@param opts? table
---@return any[]|mpi.array results
---@return mpi.map_info info
function pool:starmap(f, items, opts) end

--- A loop over the results as they come, as `comm:imap`: index and result.
---
---     for i, result in pool:imap(simulate, parameters) do print(i, result) end
---
--- Options: `ordered`, `ahead`, `seed`, `isolate` with `memory`, `timeout` and `tries`, and with rank 0 in the part
--- `schedule`, `chunk` and `progress`. Until the loop ends, its ranks cannot be given other work than by `submit`, which
--- waits; waiting in the body for what only they can do raises. There is one loop at a time on rank 0. When the loop is
--- left after a task has failed, its error is raised.
---@param f fun(item: any, index: integer): any
---@param items any[]|mpi.array|integer|(fun(): any)
---@param opts? table
---@return fun(): integer?, any
function pool:imap(f, items, opts) end

--- Has one rank call `f(…)`. Does not wait.
---@param f fun(...): any
---@param ... any
---@return mpi.future
function pool:submit(f, ...) end

--- What `pool:submit` gives: a task's result, when it is there.
---@class mpi.future
---@field rank integer? Where it runs, or has run; nil before.
---@field t0 number? When it began, in seconds since the pool did; nil before it has ended.
---@field t1 number? When it ended.
local future = {}

--- Waits for the task and gives what it returned; again, the same.
---
--- Raises the task's error, an object as described above, "timeout" when the time is over, or "cancelled".
---
--- A task that only rank 0 can do (as every one in a pool of one rank) is begun by who waits for it and done to its end:
--- the limit does not stop it.
---@param timeout? number seconds; without, as long as it takes
---@return any ...
function future:get(timeout) end

--- Waits for the task's end, however it ends; the limit holds as for `get`.
---@param timeout? number seconds
---@return boolean # false when the time is over
function future:wait(timeout) end

--- Whether the task has ended. Does not wait for other ranks.
---@return boolean
function future:done() end

--- Ends a task that has not ended.
---
--- One that waits is dropped. One that runs gets an error, "cancelled", as soon as its rank runs Lua code or sleeps. Should
--- it go on nevertheless, it has a twentieth of a second to close what it has open; then it gets errors until it ends,
--- however often it catches them. Only finalizers (`__gc`), handlers of `xpcall` and the `__close` of a coroutine that the
--- error has ended always run to their end.
---@return boolean # false when it had ended before
function future:cancel() end

return pool
