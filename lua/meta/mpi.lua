---@meta mpi

--- # The module mpi
---
--- Every rank runs the whole script; what differs is `comm:rank()`, from 0 to `comm:size() - 1`:
---
---     -- hello.lua
---     local total = comm:allreduce(comm:rank())
---     print("rank " .. comm:rank() .. " of " .. comm:size() .. ", all together " .. total)
---
--- In the shell:
---
---     luampi -n 4 hello.lua             # four ranks, started with the flags this machine needs
---     mpirun -n 4 luampi hello.lua      # the same with your own flags
---     luampi hello.lua                  # one rank
---     luampi -n 4 -m work.lua           # rank 0 runs it, with a pool of all ranks: see Pools
---
--- `mpi`, `comm` (which is `mpi.COMM_WORLD`) and `array` are global in luampi. The module mpi.so has the same for
--- a stock `lua5.4`, without the globals: `local mpi = require "mpi"`, then `mpi.COMM_WORLD` and `mpi.array`.
---
--- Ranks, roots and tags count from 0, as in MPI; lists and arrays from 1, as in Lua. In a list by rank, entry `i`
--- belongs to rank `i - 1`, and its field `n` is its length, so that an entry may be nil.
---
--- `print` writes whole lines. An error that no rank catches ends the whole job with exit code 1, after its
--- message and traceback. The job ends with 0 when all ranks came to their end; `os.exit(n)` on any rank gives
--- `n`, and when that is not 0 the other ranks end, too. When no rank can go on any more, because each waits for
--- another, the job says who waits for what and ends with 1 (with 0 when one has called `os.exit(0)`), across machines
--- after ten seconds. `luampi --help` lists the options.

---@class mpi
mpi = {}

--- ## Communicators and special ranks

--- All ranks of the job. In luampi also the global `comm`.
---@type mpi.comm
mpi.COMM_WORLD = nil

--- This rank alone.
---@type mpi.comm
mpi.COMM_SELF = nil

--- The methods of communicators: what a script adds here is a method of all of them.
---@type table
mpi.comm = nil

--- The module of arrays, in luampi also the global `array`.
mpi.array = array

--- As the source of a receive or a probe: a message from any rank. This is the default there.
---@type integer
mpi.ANY_SOURCE = nil

--- As the tag of a receive or a probe: a message with any tag. This is the default there.
---@type integer
mpi.ANY_TAG = nil

--- A rank that is not there, for the neighbour beyond a border: sending to it does nothing, receiving from it
--- gives nil (or leaves the array as it is) at once, with a status whose `source` is `mpi.PROC_NULL` and whose
--- `count` is 0.
---@type integer
mpi.PROC_NULL = nil

--- As the colour in `comm:split`: this rank gets no communicator.
---@type integer
mpi.UNDEFINED = nil

--- Stands for one of the two arrays of a collective, where the other one holds both what goes and what comes: for
--- `recv` on the root of Scatter and Scatterv, for `send` (in calls with a root: on the root) of the others. As
--- MPI_IN_PLACE.
---
---     comm:Allreduce(mpi.IN_PLACE, a)   -- a becomes the sum
---@type mpi.in_place
mpi.IN_PLACE = nil

---@class mpi.in_place

--- Sizes of a grid of `n` ranks, as even as can be, for `comm:cart`. As MPI_Dims_create.
---@param n integer
---@param k integer|integer[] how many dimensions; or a list of sizes, where 0 is to be found
---@return integer[]
function mpi.dims(n, k) end

--- ## Operators
---
--- For reduce, allreduce, scan, exscan and their capitalised forms; `mpi.SUM` is the default. The operator of a
--- reduction is one of these, a Lua function `f(a, b)` that returns the combination of two values (of two numbers,
--- for arrays), or for arrays `mpi.op(f)`. Functions must be associative and are applied in rank order, `a` being
--- from the lower ranks; all ranks pass the same one. An operator that raises raises on every rank; it cannot
--- communicate. In nonblocking calls each rank runs it for itself, on the values of all, when the script sees the
--- request complete.
---
--- Values are combined as Lua combines them: integers stay integers and wrap, an integer and a float give a float.

---@class mpi.op

--- The sum, `a + b`.
---@type mpi.op
mpi.SUM = nil

--- The product, `a * b`.
---@type mpi.op
mpi.PROD = nil

--- The greatest. Values may also be strings, or whatever else `<` takes.
---@type mpi.op
mpi.MAX = nil

--- The least. Values may also be strings, or whatever else `<` takes.
---@type mpi.op
mpi.MIN = nil

--- Logical and, of booleans or numbers (0 is false): booleans give a boolean, numbers 0 or 1.
---@type mpi.op
mpi.LAND = nil

--- Logical or, of booleans or numbers (0 is false): booleans give a boolean, numbers 0 or 1.
---@type mpi.op
mpi.LOR = nil

--- Logical exclusive or, of booleans or numbers (0 is false): booleans give a boolean, numbers 0 or 1.
---@type mpi.op
mpi.LXOR = nil

--- Bitwise and, `a & b`, of integers. A float array raises.
---@type mpi.op
mpi.BAND = nil

--- Bitwise or, `a | b`, of integers. A float array raises.
---@type mpi.op
mpi.BOR = nil

--- Bitwise exclusive or, `a ~ b`, of integers. A float array raises.
---@type mpi.op
mpi.BXOR = nil

--- The greatest and where it is: combines pairs `{value, location}`, the location an integer of your own choice;
--- of equal values the lower location. Arrays have shape (n, 2).
---
---     local least = comm:allreduce({cost, comm:rank()}, mpi.MINLOC)
---     print("least cost", least[1], "on rank", least[2])
---@type mpi.op
mpi.MAXLOC = nil

--- The least and where it is, see `mpi.MAXLOC`.
---@type mpi.op
mpi.MINLOC = nil

--- Makes an operator that works on whole arrays. `f(a, b)` gets two arrays of the shape and dtype of what was
--- sent, `a` from the lower ranks, and leaves the combination in `b`; returning anything but `b` raises. As
--- MPI_Op_create.
---
---     local longer = mpi.op(function (a, b) if a:norm() > b:norm() then b:copyfrom(a) end end)
---     local longest = comm:Allreduce(v, nil, longer)
---@param f fun(a: mpi.array, b: mpi.array) associative
---@param commutative? boolean true allows another order than that of the ranks; default false
---@return mpi.op
function mpi.op(f, commutative) end

--- ## Time, machine, end

--- Seconds since some moment in the past, for differences on the same rank. As MPI_Wtime.
---@return number
function mpi.wtime() end

--- Does nothing for so many seconds, without using the core.
---@param seconds number from 0 to 1e9
function mpi.sleep(seconds) end

--- Ends all ranks at once, this one and those at work. As MPI_Abort.
---@param code? integer exit code of the job, default 1; 0 stays 0, others are limited to 1..125
function mpi.abort(code) end

--- The process id of this rank.
---@return integer
function mpi.getpid() end

--- The name of the machine this rank runs on. As MPI_Get_processor_name.
---@return string
function mpi.processor_name() end

--- How many cores this machine has. All ranks on it share them.
---@return integer
function mpi.cores() end

--- The version of luampi, like "0.1.0".
---@type string
mpi.version = nil

--- The name and version of the MPI library, like "Open MPI v4.1.4".
---@type string
mpi.library_version = nil

--- ## Pictures

--- Draws what every rank did when: a line a rank, in the terminal or, with a name, as an SVG file that a browser shows,
--- on a light or a dark page, with index and duration of each task as hover text. Only this rank draws, so call it on
--- one. Raises when the map was not told to trace.
---
---     local results, info = comm:map(f, 64, {trace = true})
---     if comm:rank() == 0 then
---         mpi.gantt(info)
---         mpi.gantt(info, "timeline.svg")
---     end
---
--- In the terminal consecutive tasks of a rank alternate between █ and ▒; ▓ stands for several tasks in a column. The
--- share of the time that the rank was busy, and how many tasks it did, end the line:
---
---     64 tasks on 4 ranks in 174 ms, one after another 668 ms: speedup 3.85, efficiency 96 %
---     rank 0 │█████▒▒▒▒████▒▒▒████▒▒▒▒▒█████▒▒▒▒▒█████████▒▒▒▒▒▒     │  90 %, 14 tasks
---     rank 1 │██▒▒▒▒██▒▒▒███▒▒▒▒▒▒███▒▒▒█▒▒▒████▒▒▒▒▒██████▒▒███▒▒▒▒ │  98 %, 16 tasks
---     rank 2 │█████▒▒█████▒█████▒▒▒▒▒▒▒▒▒▒████▒▒▒▒█████▒▒▒▒██▒██████ │  97 %, 19 tasks
---     rank 3 │██████▒▒▒▒▒▒▒▒▒█████▒▒▒▒▒▒██▒▒▒▒█████▒▒▒▒▒▒████▒▒██████│ 100 %, 15 tasks
---            └┴───────────────┴───────────────┴───────────────┴──────┘ busy
---             0               50             100            150 ms
---@param info table second result of a map with `trace = true`
---@param path? string name of the SVG file; without it the picture goes to the terminal, as wide as that, else 80 columns
function mpi.gantt(info, path) end

--- ## Status

--- What a receive or a probe says of the message.
---@class mpi.status
---@field source integer Rank of the sender in the communicator.
---@field tag integer The tag it was sent with.
---@field count integer How much it was: elements of an array, bytes of a value as it travelled.
---@field cancelled boolean Whether the receive was cancelled before a message came.

comm = mpi.COMM_WORLD

return mpi
