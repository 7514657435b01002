---@meta

--- # Requests
---
--- What the nonblocking calls (`comm:isend`, `comm:Irecv`, `comm:Iallreduce` …) return while the message travels. A
--- request keeps its arrays alive and marks their memory: writing to an array that is being received into, or
--- changing one that is being sent, raises until the request has completed; so does a second request on the same
--- elements. A receive that is dropped without a match is cancelled.

---@class mpi.request
local request = {}

--- Waits for the end: gives the value, or the array, that came, and the status. A message that was refused raises.
--- Called again, it gives the same, or raises the same. As MPI_Wait.
---@return any value nil for sends
---@return mpi.status? status
function request:wait() end

--- Whether it has ended: false, or true and what `wait` gives. Does not wait. As MPI_Test.
---@return boolean done
---@return any value
---@return mpi.status? status
function request:test() end

--- Cancels a receive that nothing has matched yet; `wait` then gives nil and a status whose `cancelled` is true. As
--- MPI_Cancel.
---@return boolean # true when it was cancelled
function request:cancel() end

--- The methods of requests: what a script adds here is a method of all of them.
---@type table
mpi.request = nil

--- ## Many requests
---
--- Requests that were waited for before are skipped by `waitany`, `waitsome` and `testany`. Indices count from 1.

--- Waits for all. As MPI_Waitall.
---@param reqs mpi.request[]
---@return any[] values
---@return mpi.status[] statuses
function mpi.waitall(reqs) end

--- Waits for one of them: its index, value and status; nil when none is open. As MPI_Waitany.
---@param reqs mpi.request[]
---@return integer? index
---@return any value
---@return mpi.status? status
function mpi.waitany(reqs) end

--- Waits for at least one, and gives all that have ended. As MPI_Waitsome.
---@param reqs mpi.request[]
---@return integer[]? indices
---@return any[]? values
function mpi.waitsome(reqs) end

--- Whether all have ended: false, or true and what `mpi.waitall` gives. As MPI_Testall.
---@param reqs mpi.request[]
---@return boolean done
---@return any[]? values
---@return mpi.status[]? statuses
function mpi.testall(reqs) end

--- Whether one has ended: false, or what `mpi.waitany` gives. As MPI_Testany.
---@param reqs mpi.request[]
---@return integer|false index
---@return any value
---@return mpi.status? status
function mpi.testany(reqs) end
