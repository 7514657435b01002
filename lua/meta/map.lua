---@meta

--- # Sharing work
---
--- `comm:map` and its kin do many tasks on all ranks: every rank takes the next items whenever it is free, rank 0 too,
--- and no rank waits for another one that is busy. All ranks of the communicator call, as with any collective.
---
---     local squares = comm:map(function (x) return x * x end, 1000)
---     local sizes = comm:map(function (name) return #read(name) end, {"a.txt", "b.txt", "c.txt"})
---
--- **Tasks.** A task is a call `f(item, index)` of the rank's own function: nothing is shipped, so `f` may be any
--- function. A task may use other communicators, also map on one of them, but not the one that is being mapped: that
--- raises.
---
--- **Items** are those of rank `root`; the others may pass nil. A list (with nil among the items its field `n` is the
--- length), the elements or rows of an array, a number n for the items 1 to n, or a generator: a function that gives the
--- next item at each call, and nil at the end. Items and results must be able to travel (see What travels).
---
--- **A generator** is read on the root only, between its tasks, and never by more than `ahead` items further than is done
--- (with `imap` on the root: than the loop has taken); default 4 chunks a rank. What was read is handed out also while
--- the root is in a task that runs Lua code or `mpi.sleep`; when that task takes longer than the others need for `ahead`
--- items, they wait. An error in it is like one in the task of the item it was asked for.
---
--- **Who does which.** "dynamic": the ranks take the next items in their order, so many at a time as they do in a short
--- while, or `chunk`; what a rank has taken but not begun, idle ranks take from it. "static": an equal run of items for
--- each rank. "cyclic": `chunk` items (1) for each rank in turn.
---
--- **Errors.** A task that raises stops the hand-out, and every rank raises the same error, of the lowest item that
--- failed. It is an object with the fields `message`, `traceback`, `rank`, `index` and `value` (what was raised, as far as
--- it can travel); `tostring` gives the message with rank and item. The communicator can be used afterwards.

---@class mpi.comm
local comm = {}

---@class mpi.task_error What a task raised.
---@field message string what `tostring` gives of the value that was raised
---@field traceback string of the task
---@field rank integer on which it ran
---@field index integer the item
---@field value any what was raised
local task_error = {}

---@class mpi.map_info What a map tells of itself, the same on every rank.
---@field wall number seconds from its begin to its results
---@field serial number seconds all tasks took together
---@field speedup number serial / wall
---@field efficiency number speedup / size
---@field per_rank table[] by rank: busy (seconds in tasks), idle, items
---@field tasks table[]? with `trace`: index, rank, t0 and t1 (seconds since the begin) of each task, by index
---@field errors mpi.task_error[]? with `errors="collect"`: by index
local map_info = {}

--- Does `f(item, index)` for every item; the results come in the order of the items, `results.n` of them, nil and false
--- among them.
---
---     local results, info = comm:map(simulate, parameters, {seed = 1, trace = true})
---     print(info.speedup, info.per_rank[1].items)
---
--- Options:
---
--- - `to`: "all" (the default), or the rank that gets the results; the others get nil
--- - `schedule`: "dynamic" (the default), "static", "cyclic"
--- - `chunk`: how many items are taken at a time; automatic when left out. Has no meaning with "static"
--- - `into`: an array, which is filled and returned as the results: numbers fill its elements, arrays its rows. With `to`
---   the other ranks need not bring one
--- - `errors`: "raise" (the default), or "collect": the other tasks are done, a failed item is nil in the results (with
---   `into` left as it was), and its error in `info.errors`
--- - `seed`: a number; `math.random` restarts for each item from seed and index, so that results depend neither on the
---   number of ranks nor on the schedule. Afterwards it goes on as if the map had not been, unless the script replaced
---   `math.random`
--- - `trace`: `info.tasks` tells when each task ran, and where
--- - `items`: "same" when every rank has the items: nothing is sent
--- - `root`: the rank whose items are mapped; default 0
--- - `ahead`: how far a generator is read ahead, in items
---@param f fun(item: any, index: integer): any
---@param items any[]|mpi.array|integer|(fun(): any)? on the root
---@param opts? table
---@return any[]|mpi.array|nil results
---@return mpi.map_info info
function comm:map(f, items, opts) end

--- A loop over the results as they come: index and result of each item, on rank `to`. All ranks call, and write the loop;
--- on the others the body never runs, and the loop ends when all is done. The rank of the loop does tasks, too, when no
--- result is there.
---
---     for i, result in comm:imap(simulate, parameters) do print(i, result) end
---
--- `break` ends it for all. An error in the body does so, too, and is raised on every rank. A rank whose results the loop
--- has not taken goes on until it has four batches and a megabyte of them waiting.
---
--- Options: `to`, the rank of the loop (0); `ordered`: results come in the order of the items, and those that are early are
--- kept; `schedule chunk seed items root ahead` as in `comm:map`.
---@param f fun(item: any, index: integer): any
---@param items any[]|mpi.array|integer|(fun(): any)? on the root
---@param opts? table
---@return fun(): integer?, any
function comm:imap(f, items, opts) end

--- Combines the results of all items without keeping them. The operator is taken as associative, not as commutative: it
--- combines in the order of the items, whoever did them. Every rank gets the value.
---
---     local sum = comm:mapreduce(function (i) return 1 / i ^ 2 end, 10 ^ 8)
---
--- Options: `op`, an operator such as `mpi.MAX` or a function (default `mpi.SUM`); `init`, combined before the first
--- result; `chunk seed trace items root ahead` as in `comm:map`.
---@param f fun(item: any, index: integer): any
---@param items any[]|mpi.array|integer|(fun(): any)? on the root
---@param opts? table
---@return any value `init`, or nil, when there are no items
---@return mpi.map_info info
function comm:mapreduce(f, items, opts) end

--- A loop whose items are shared out among the ranks: each item comes on one of them. The end of the loop is a meeting
--- point.
---
---     for i, name in comm:share {"a.txt", "b.txt", "c.txt"} do convert(name) end
---
--- `break` on one rank ends the hand-out for all: the others finish the items they are at. An error in the body does the
--- same, and is raised on every rank. The body must leave the loop by its end, `break`, `goto`, `return` or an error; an
--- iterator called by hand must be called until it gives nil.
---
--- Options: `schedule chunk items root ahead` as in `comm:map`.
---@param items any[]|mpi.array|integer|(fun(): any)? on the root
---@param opts? table
---@return fun(): integer?, any
function comm:share(items, opts) end
