---@meta

--- # Communicators
---
--- A communicator is a group of ranks that talk to each other: `comm` (`mpi.COMM_WORLD`) is all of them. Messages
--- and collectives of one communicator never mix with those of another.
---
--- **Lower case moves Lua values, Capitalised moves arrays.** `comm:send(t, 1)` sends a copy of any Lua value (see
--- What travels); `comm:Send(a, 1)` hands the memory of the array `a` to MPI, which is faster for many numbers.
--- What was sent by the one kind must be received by the same kind.
---
--- **Errors.** A wrong rank, root, tag or type of argument raises. In collectives all ranks raise the same error,
--- also when they do not make the same call: operation, root, operator, dtype and count are compared before data
--- moves, for the first 1000 calls of a communicator (option `--check=first`), for all (`--check=all`) or not at
--- all (`--check=none`). The `v` forms are always compared, and except with `none` so are calls that move more than
--- 4000 bytes, where blocks are joined or divided those of all ranks together. Where calls are not compared, ranks
--- that do not make the same call may get an error, wrong numbers, or wait for ever, and with `none` overwrite
--- memory: `--check=all` finds out which.
---
--- `tostring` tells name, rank and size; `==` is true for the same communicator.

---@class mpi.comm
local comm = {}

--- ## The communicator itself
---
--- Local calls: a rank makes them for itself.

--- This rank's number in the communicator, from 0 to `comm:size() - 1`. As MPI_Comm_rank.
---@return integer
function comm:rank() end

--- The number of ranks. As MPI_Comm_size.
---@return integer
function comm:size() end

--- The communicator's name, set before when one is given; `tostring` shows it. `"mpi.COMM_WORLD"` at first for
--- that one, empty for those made by a script. As MPI_Comm_get_name, MPI_Comm_set_name.
---@param new? string at most 63 bytes
---@return string
function comm:name(new) end

--- How two communicators relate: "ident" (the same), "congruent" (the same ranks in the same order), "similar"
--- (the same ranks in another order) or "unequal". As MPI_Comm_compare.
---@param other mpi.comm
---@return string
function comm:compare(other) end

--- ## Making communicators
---
--- Collective: all ranks of the communicator call, in the same order. A communicator that is no longer wanted is
--- freed by `free` or by `local c <close> = …`, never by the garbage collector.

--- A communicator of the same ranks, whose messages are apart from the others': for a library, say. As
--- MPI_Comm_dup.
---@return mpi.comm
function comm:dup() end

--- Divides the ranks: those with the same colour come into one new communicator. As MPI_Comm_split.
---
---     local half = comm:split(comm:rank() % 2)   -- the even ranks, the odd ranks
---@param color integer from 0; with `mpi.UNDEFINED` the rank gets nil
---@param key? integer orders the ranks in the new communicator, equal ones as they were; default 0
---@return mpi.comm?
function comm:split(color, key) end

--- The ranks that share memory with this one, so those on the same machine. As MPI_Comm_split_type.
---@param type "shared"
---@param key? integer as in `split`
---@return mpi.comm
function comm:split_type(type, key) end

--- A communicator of the listed ranks, in the order of the list; nil on the others. All ranks of `comm` call, with
--- the same list. As MPI_Comm_create.
---
---     local two = comm:subset{0, 2}
---     if two then print(two:rank(), two:size()) end
---@param ranks integer[]
---@return mpi.comm?
function comm:subset(ranks) end

--- Frees the communicator: using it afterwards raises, freeing it again does nothing; requests that are open on it go
--- on. `mpi.COMM_WORLD` and `mpi.COMM_SELF` cannot be freed, nor can, by a finalizer or an operator, a communicator of
--- which a method is at work. As MPI_Comm_free.
function comm:free() end

--- ## Messages of values
---
--- From one rank to one other, or to itself. A send may return before the value is received, but waits for the
--- receiver when it is longer than about 4000 bytes: two ranks that both send first wait for ever, `sendrecv` is
--- made for them. Messages from the same sender are received in the order they were sent, as far as tags match. A
--- message that is refused (an array where a value was expected) raises and is gone.

--- Sends a copy of a value; a long table while it is being encoded, which its receiver decodes meanwhile. What cannot be
--- sent raises, and nothing arrives. As MPI_Send.
---
---     if comm:rank() == 0 then comm:send({job = 7, "a", "b"}, 1)
---     elseif comm:rank() == 1 then local value, status = comm:recv(0) end
---@param value any
---@param dest integer rank that receives it
---@param tag? integer from 0, for the receiver to choose by; default 0
function comm:send(value, dest, tag) end

--- As `send`, but returns only when the receive has begun. As MPI_Ssend.
---@param value any
---@param dest integer
---@param tag? integer default 0
function comm:ssend(value, dest, tag) end

--- Waits for a value and returns it. An array (sent by `Send`) raises. As MPI_Recv.
---@param source? integer default `mpi.ANY_SOURCE`
---@param tag? integer default `mpi.ANY_TAG`
---@return any value
---@return mpi.status status
function comm:recv(source, tag) end

--- Sends one value and receives another at the same time. As MPI_Sendrecv.
---
---     local n, r = comm:size(), comm:rank()
---     local from_left = comm:sendrecv(x, (r + 1) % n, (r - 1) % n)   -- passes x round a ring
---@param value any
---@param dest integer
---@param source? integer default `mpi.ANY_SOURCE`
---@param sendtag? integer default 0
---@param recvtag? integer default `mpi.ANY_TAG`
---@return any value
---@return mpi.status status
function comm:sendrecv(value, dest, source, sendtag, recvtag) end

--- Waits until a message, of a value or an array, is there to be received, and leaves it there. As MPI_Probe.
---
---     local s = comm:probe()
---     local value = comm:recv(s.source, s.tag)
---@param source? integer default `mpi.ANY_SOURCE`
---@param tag? integer default `mpi.ANY_TAG`
---@return mpi.status
function comm:probe(source, tag) end

--- As `probe`, but does not wait: nil when there is no such message yet. As MPI_Iprobe.
---@param source? integer default `mpi.ANY_SOURCE`
---@param tag? integer default `mpi.ANY_TAG`
---@return mpi.status?
function comm:iprobe(source, tag) end

--- ## Messages of arrays
---
--- The receiver brings the array the numbers go into. Its dtype must be the sender's; it may have more elements
--- than come (`status.count` tells, the others stay as they are), but not fewer; shapes need not agree. What does
--- not fit raises, leaves the array untouched, and the message is gone. Views travel like arrays, strided ones
--- too. How long a send waits is said under Messages of values.

--- Sends an array's elements. As MPI_Send.
---@param a mpi.array
---@param dest integer rank that receives it
---@param tag? integer default 0
function comm:Send(a, dest, tag) end

--- As `Send`, but returns only when the receive has begun. As MPI_Ssend.
---@param a mpi.array
---@param dest integer
---@param tag? integer default 0
function comm:Ssend(a, dest, tag) end

--- Waits for elements and writes them into the array. As MPI_Recv.
---
---     if comm:rank() == 0 then comm:Send(array.ones(3), 1)
---     elseif comm:rank() == 1 then
---         local a = array.zeros(10)
---         print(comm:Recv(a, 0).count, a)   -- 3, a[1] to a[3] are 1
---     end
---@param a mpi.array
---@param source? integer default `mpi.ANY_SOURCE`
---@param tag? integer default `mpi.ANY_TAG`
---@return mpi.status
function comm:Recv(a, source, tag) end

--- Sends one array and receives into another at the same time; the two must not share memory. As MPI_Sendrecv.
---@param a mpi.array is sent
---@param dest integer
---@param b mpi.array receives
---@param source? integer default `mpi.ANY_SOURCE`
---@param sendtag? integer default 0
---@param recvtag? integer default `mpi.ANY_TAG`
---@return mpi.status
function comm:Sendrecv(a, dest, b, source, sendtag, recvtag) end

--- ## Collectives of values
---
--- All ranks of the communicator call, in the same order. A value that cannot travel raises, and so does a list
--- that has not one entry for each rank. A value that has come and cannot be made here (its metatable has no name on
--- this rank, or memory runs out) raises here alone; in reductions of any values, what fails where they meet raises on
--- every rank.

--- Waits until every rank has called it. As MPI_Barrier.
function comm:barrier() end

--- Gives the root's value to every rank. As MPI_Bcast.
---
---     local config = comm:bcast(comm:rank() == 0 and {steps = 100} or nil)
---@param value any used on the root only
---@param root? integer default 0
---@return any
function comm:bcast(value, root) end

--- Gives entry `i` of the root's list to rank `i - 1`. As MPI_Scatter.
---
---     local mine = comm:scatter(comm:rank() == 0 and {"a", "b", "c", "d"} or nil)   -- on 4 ranks
---@param list any[] used on the root only: an entry for each rank; with nil among them its field `n` is the length
---@param root? integer default 0
---@return any
function comm:scatter(list, root) end

--- Collects every rank's value on the root, as a list by rank; nil on the others. As MPI_Gather.
---@param value any
---@param root? integer default 0
---@return any[]?
function comm:gather(value, root) end

--- Collects every rank's value on every rank, as a list by rank. As MPI_Allgather.
---@param value any
---@return any[]
function comm:allgather(value) end

--- Gives entry `i` of this rank's list to rank `i - 1`; returns the list by rank of what the others gave to this
--- one. As MPI_Alltoall.
---@param list any[] an entry for each rank; with nil among them its field `n` is the length
---@return any[]
function comm:alltoall(list) end

--- Combines every rank's value; the root gets the result, the others nil. As MPI_Reduce.
---@param value any
---@param op? mpi.op|fun(a: any, b: any): any default `mpi.SUM`
---@param root? integer default 0
---@return any
function comm:reduce(value, op, root) end

--- Combines every rank's value; every rank gets the result. As MPI_Allreduce.
---
---     local total = comm:allreduce(x)
---     local highest = comm:allreduce(x, mpi.MAX)
---     local names = comm:allreduce(name, function (a, b) return a .. "," .. b end)
---@param value any
---@param op? mpi.op|fun(a: any, b: any): any default `mpi.SUM`
---@return any
function comm:allreduce(value, op) end

--- Combines the values of the ranks from 0 to this one. As MPI_Scan.
---@param value any
---@param op? mpi.op|fun(a: any, b: any): any default `mpi.SUM`
---@return any
function comm:scan(value, op) end

--- Combines the values of the ranks before this one; nil on rank 0. As MPI_Exscan.
---
---     local first = (comm:exscan(count) or 0) + 1   -- where my part begins
---@param value any
---@param op? mpi.op|fun(a: any, b: any): any default `mpi.SUM`
---@return any
function comm:exscan(value, op) end

--- ## Collectives of arrays
---
--- All ranks of the communicator call, in the same order, with arrays of the same dtype. Except in the `v` forms
--- each rank's block has the same number of elements. Blocks are joined in rank order along the first dimension:
--- on n ranks, Allgather of shape (m, c) gives (m·n, c).
---
--- Where `recv` is left out (nil), an array of the right shape and dtype is made, except in Scatter and Scatterv,
--- which need it; a given one must have the right number of elements. Neither may share memory with the other: see
--- `mpi.IN_PLACE`. What only the root uses may be nil on the others.
---
--- The `v` forms take blocks with different numbers of rows (elements, for one dimension). `counts` lists each
--- rank's rows, on the rank or ranks that hold the whole; left out, it is found from the ranks' own arrays, and
--- needed only with `mpi.IN_PLACE`.

--- Overwrites the array on every rank with the root's. As MPI_Bcast.
---@param a mpi.array of equal size on all ranks
---@param root? integer default 0
---@return mpi.array # the same array
function comm:Bcast(a, root) end

--- Cuts the root's array into equal parts, for the ranks in order; each gets its part in `recv`. As MPI_Scatter.
---
---     local all = comm:rank() == 0 and array.linspace(0, 1, 4 * comm:size()) or nil
---     local part = comm:Scatter(all, array.zeros(4))
---@param send mpi.array? the whole, on the root
---@param recv mpi.array|mpi.in_place with `mpi.IN_PLACE` the root's part stays in `send`
---@param root? integer default 0
---@return mpi.array? # recv, or nil when that is `mpi.IN_PLACE`
function comm:Scatter(send, recv, root) end

--- Joins every rank's array on the root; nil on the others. As MPI_Gather.
---@param send mpi.array|mpi.in_place with `mpi.IN_PLACE` the root's part is in `recv` already
---@param recv? mpi.array the whole, on the root
---@param root? integer default 0
---@return mpi.array? # recv, on the root
function comm:Gather(send, recv, root) end

--- Joins every rank's array on every rank. As MPI_Allgather.
---@param send mpi.array|mpi.in_place with `mpi.IN_PLACE` this rank's part is in `recv` already
---@param recv? mpi.array
---@return mpi.array # recv
function comm:Allgather(send, recv) end

--- Cuts each rank's array into equal parts, for the ranks in order; `recv` joins the parts that this rank gets, in
--- the order of the ranks they come from. As MPI_Alltoall.
---@param send mpi.array|mpi.in_place a multiple of `comm:size()` elements
---@param recv? mpi.array
---@return mpi.array # recv
function comm:Alltoall(send, recv) end

--- As `Scatter`, with `counts[i]` rows for rank `i - 1`. As MPI_Scatterv.
---@param send mpi.array? the whole, on the root
---@param counts integer[]? on the root
---@param recv mpi.array|mpi.in_place
---@param root? integer default 0
---@return mpi.array? # recv, or nil when that is `mpi.IN_PLACE`
function comm:Scatterv(send, counts, recv, root) end

--- As `Gather`, of arrays with different numbers of rows. As MPI_Gatherv.
---@param send mpi.array|mpi.in_place
---@param recv? mpi.array the whole, on the root
---@param counts? integer[] on the root
---@param root? integer default 0
---@return mpi.array? # recv, on the root
function comm:Gatherv(send, recv, counts, root) end

--- As `Allgather`, of arrays with different numbers of rows. As MPI_Allgatherv.
---@param send mpi.array|mpi.in_place
---@param recv? mpi.array
---@param counts? integer[]
---@return mpi.array # recv
function comm:Allgatherv(send, recv, counts) end

--- Combines the ranks' arrays element by element; the root gets the result, the others nil. As MPI_Reduce.
---@param send mpi.array|mpi.in_place
---@param recv? mpi.array on the root
---@param op? mpi.op|fun(a: number, b: number): number default `mpi.SUM`
---@param root? integer default 0
---@return mpi.array? # recv, on the root
function comm:Reduce(send, recv, op, root) end

--- Combines the ranks' arrays element by element; every rank gets the result. As MPI_Allreduce.
---
---     local sum = comm:Allreduce(a)
---     local highest = comm:Allreduce(a, nil, mpi.MAX)
---@param send mpi.array|mpi.in_place
---@param recv? mpi.array
---@param op? mpi.op|fun(a: number, b: number): number default `mpi.SUM`
---@return mpi.array # recv
function comm:Allreduce(send, recv, op) end

--- Combines the arrays of the ranks from 0 to this one, element by element. As MPI_Scan.
---@param send mpi.array|mpi.in_place
---@param recv? mpi.array
---@param op? mpi.op|fun(a: number, b: number): number default `mpi.SUM`
---@return mpi.array # recv
function comm:Scan(send, recv, op) end

--- Combines the arrays of the ranks before this one, element by element. On rank 0 `recv` stays as it is, and nil
--- is returned when it was left out. As MPI_Exscan.
---@param send mpi.array|mpi.in_place
---@param recv? mpi.array
---@param op? mpi.op|fun(a: number, b: number): number default `mpi.SUM`
---@return mpi.array? # recv
function comm:Exscan(send, recv, op) end

--- Sends an array's elements and receives others in their place. As MPI_Sendrecv_replace.
---@param a mpi.array
---@param dest integer
---@param source? integer default `mpi.ANY_SOURCE`
---@param sendtag? integer default 0
---@param recvtag? integer default `mpi.ANY_TAG`
---@return mpi.status
function comm:Sendrecv_replace(a, dest, source, sendtag, recvtag) end

--- As `Alltoall`, with `sendcounts[i]` rows for rank `i - 1`. `recvcounts` may be left out except with
--- `mpi.IN_PLACE`. As MPI_Alltoallv.
---@param send mpi.array|mpi.in_place
---@param sendcounts integer[]?
---@param recv? mpi.array
---@param recvcounts? integer[]
---@return mpi.array # recv
function comm:Alltoallv(send, sendcounts, recv, recvcounts) end

--- Combines the ranks' arrays element by element, and gives each rank its part: `counts[i]` rows for rank `i - 1`,
--- equal parts when left out. As MPI_Reduce_scatter.
---@param send mpi.array|mpi.in_place
---@param recv? mpi.array
---@param counts? integer[] the same on all ranks
---@param op? mpi.op|fun(a: number, b: number): number default `mpi.SUM`
---@return mpi.array # recv
function comm:Reduce_scatter(send, recv, counts, op) end

--- ## Nonblocking calls
---
--- They return a request at once (see Requests). The arguments are those of the blocking form. Collectives are
--- compared as the blocking ones are, without waiting: where the ranks make different calls, or one makes a mistake,
--- waiting for the request raises the same error on all ranks, and no data has moved. (The rank that makes a mistake
--- hears of it at once.) Data moves while a rank waits or tests, once all ranks have made the call.

--- The nonblocking form of `comm:send`. As MPI_Isend.
---@param value any
---@param dest integer
---@param tag? integer default 0
---@return mpi.request
function comm:isend(value, dest, tag) end

--- The nonblocking form of `comm:ssend`. As MPI_Issend.
---@param value any
---@param dest integer
---@param tag? integer default 0
---@return mpi.request
function comm:issend(value, dest, tag) end

--- The nonblocking form of `comm:recv`. As MPI_Irecv.
---@param source? integer default `mpi.ANY_SOURCE`
---@param tag? integer default `mpi.ANY_TAG`
---@return mpi.request
function comm:irecv(source, tag) end

--- The nonblocking form of `comm:Send`. As MPI_Isend.
---@param a mpi.array
---@param dest integer
---@param tag? integer default 0
---@return mpi.request
function comm:Isend(a, dest, tag) end

--- The nonblocking form of `comm:Ssend`. As MPI_Issend.
---@param a mpi.array
---@param dest integer
---@param tag? integer default 0
---@return mpi.request
function comm:Issend(a, dest, tag) end

--- The nonblocking form of `comm:Recv`. As MPI_Irecv.
---@param a mpi.array
---@param source? integer default `mpi.ANY_SOURCE`
---@param tag? integer default `mpi.ANY_TAG`
---@return mpi.request
function comm:Irecv(a, source, tag) end

--- The nonblocking form of `comm:barrier`. As MPI_Ibarrier.
---@return mpi.request
function comm:ibarrier() end

--- The nonblocking form of `comm:Bcast`. As MPI_Ibcast.
---@param a mpi.array
---@param root? integer default 0
---@return mpi.request
function comm:Ibcast(a, root) end

--- The nonblocking form of `comm:Scatter`. As MPI_Iscatter.
---@param send mpi.array?
---@param recv mpi.array|mpi.in_place
---@param root? integer default 0
---@return mpi.request
function comm:Iscatter(send, recv, root) end

--- The nonblocking form of `comm:Gather`. As MPI_Igather.
---@param send mpi.array|mpi.in_place
---@param recv? mpi.array
---@param root? integer default 0
---@return mpi.request
function comm:Igather(send, recv, root) end

--- The nonblocking form of `comm:Allgather`. As MPI_Iallgather.
---@param send mpi.array|mpi.in_place
---@param recv? mpi.array
---@return mpi.request
function comm:Iallgather(send, recv) end

--- The nonblocking form of `comm:Alltoall`. As MPI_Ialltoall.
---@param send mpi.array|mpi.in_place
---@param recv? mpi.array
---@return mpi.request
function comm:Ialltoall(send, recv) end

--- The nonblocking form of `comm:Scatterv`. As MPI_Iscatterv.
--- The counts must be given: it cannot ask the other ranks.
---@param send mpi.array?
---@param counts integer[]?
---@param recv mpi.array|mpi.in_place
---@param root? integer default 0
---@return mpi.request
function comm:Iscatterv(send, counts, recv, root) end

--- The nonblocking form of `comm:Gatherv`. As MPI_Igatherv.
--- The counts must be given: it cannot ask the other ranks.
---@param send mpi.array|mpi.in_place
---@param recv? mpi.array
---@param counts? integer[]
---@param root? integer default 0
---@return mpi.request
function comm:Igatherv(send, recv, counts, root) end

--- The nonblocking form of `comm:Allgatherv`. As MPI_Iallgatherv.
--- The counts must be given: it cannot ask the other ranks.
---@param send mpi.array|mpi.in_place
---@param recv? mpi.array
---@param counts? integer[]
---@return mpi.request
function comm:Iallgatherv(send, recv, counts) end

--- The nonblocking form of `comm:Alltoallv`. As MPI_Ialltoallv.
--- The counts must be given: it cannot ask the other ranks.
---@param send mpi.array|mpi.in_place
---@param sendcounts integer[]?
---@param recv? mpi.array
---@param recvcounts? integer[]
---@return mpi.request
function comm:Ialltoallv(send, sendcounts, recv, recvcounts) end

--- The nonblocking form of `comm:Reduce`. As MPI_Ireduce.
---@param send mpi.array|mpi.in_place
---@param recv? mpi.array
---@param op? mpi.op|fun(a: number, b: number): number default `mpi.SUM`
---@param root? integer default 0
---@return mpi.request
function comm:Ireduce(send, recv, op, root) end

--- The nonblocking form of `comm:Allreduce`. As MPI_Iallreduce.
---@param send mpi.array|mpi.in_place
---@param recv? mpi.array
---@param op? mpi.op|fun(a: number, b: number): number default `mpi.SUM`
---@return mpi.request
function comm:Iallreduce(send, recv, op) end

--- The nonblocking form of `comm:Reduce_scatter`. As MPI_Ireduce_scatter.
---@param send mpi.array|mpi.in_place
---@param recv? mpi.array
---@param counts? integer[]
---@param op? mpi.op|fun(a: number, b: number): number default `mpi.SUM`
---@return mpi.request
function comm:Ireduce_scatter(send, recv, counts, op) end

--- The nonblocking form of `comm:Scan`. As MPI_Iscan.
---@param send mpi.array|mpi.in_place
---@param recv? mpi.array
---@param op? mpi.op|fun(a: number, b: number): number default `mpi.SUM`
---@return mpi.request
function comm:Iscan(send, recv, op) end

--- The nonblocking form of `comm:Exscan`. As MPI_Iexscan.
---@param send mpi.array|mpi.in_place
---@param recv? mpi.array
---@param op? mpi.op|fun(a: number, b: number): number default `mpi.SUM`
---@return mpi.request
function comm:Iexscan(send, recv, op) end

--- The nonblocking form of `comm:Neighbor_allgather`. As MPI_Ineighbor_allgather.
---@param send mpi.array
---@param recv? mpi.array
---@return mpi.request
function comm:Ineighbor_allgather(send, recv) end

--- The nonblocking form of `comm:Neighbor_alltoall`. As MPI_Ineighbor_alltoall.
--- In a periodic dimension of fewer than 3 ranks it raises.
---@param send mpi.array
---@param recv? mpi.array
---@return mpi.request
function comm:Ineighbor_alltoall(send, recv) end

--- ## Grids
---
--- A communicator made by `cart` has its ranks on a grid. Dimensions count from 1, coordinates from 0. Other
--- communicators raise in these calls; a `dup` keeps the grid. Neighbours come in MPI's order: for each dimension
--- the lower, then the higher one, twice the same in a periodic dimension of 2 ranks.
---
---     local grid <close> = comm:cart {dims = mpi.dims(comm:size(), 2), periods = {true, false}}
---     local lower, higher = grid:shift(1)

--- Puts the ranks on a grid. Collective; ranks that the grid has no place for get nil. As MPI_Cart_create.
---@param options {dims: integer[], periods?: boolean|boolean[], reorder?: boolean} dims: ranks along each dimension; periods: whether it wraps, reorder: whether ranks may change, default false
---@return mpi.comm?
function comm:cart(options) end

--- The slice of the grid this rank is in: of the dimensions that are kept. Collective. As MPI_Cart_sub.
---@param keep boolean[] one for each dimension
---@return mpi.comm
function comm:sub(keep) end

--- A rank's coordinates. As MPI_Cart_coords.
---@param rank? integer default: this one
---@return integer[]
function comm:coords(rank) end

--- The rank at these coordinates; they wrap in a periodic dimension, and raise beyond another's border. As
--- MPI_Cart_rank.
---@param coords integer[]
---@return integer
function comm:rank_at(coords) end

--- The ranks `n` steps down and up a dimension: from whom to receive, to whom to send. `mpi.PROC_NULL` beyond a
--- border. As MPI_Cart_shift.
---@param dim integer from 1
---@param n? integer default 1
---@return integer source
---@return integer dest
function comm:shift(dim, n) end

--- Collects the neighbours' values in a list; nil for one that is missing. As MPI_Neighbor_allgather.
---@param value any
---@return any[]
function comm:neighbor_allgather(value) end

--- Gives entry `i` to neighbour `i`, and returns the list of what they gave: nil for one that is missing. As
--- MPI_Neighbor_alltoall.
---@param list any[] with nil among its entries its field `n` may tell the length
---@return any[]
function comm:neighbor_alltoall(list) end

--- Joins the neighbours' arrays. The block of a missing one stays as it is, 0 when `recv` was left out. As
--- MPI_Neighbor_allgather.
---@param send mpi.array
---@param recv? mpi.array
---@return mpi.array # recv
function comm:Neighbor_allgather(send, recv) end

--- Cuts the array into equal blocks, one for each neighbour, and joins those they send; missing ones as in
--- `Neighbor_allgather`. As MPI_Neighbor_alltoall.
---@param send mpi.array
---@param recv? mpi.array
---@return mpi.array # recv
function comm:Neighbor_alltoall(send, recv) end

--- ## Output

--- Rank 0 prints every rank's line, in rank order, formatted as `print` does. Collective.
---@param ... any
function comm:print(...) end
