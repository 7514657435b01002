---@meta
--- # What travels
---
--- Every call that moves a Lua value (`comm:send`, `comm:bcast`, `pool:call` …) and `mpi.pack` take any value made of
--- these, the receiver gets a copy:
---
--- - nil, booleans, integers (64 bit), floats (bit exact), strings (any bytes);
--- - tables: any keys, holes, cycles; what is the same table twice stays the same; up to 1000 levels deep;
--- - arrays: one array twice stays one, a view becomes an array of its own;
--- - Lua functions with their upvalues: closures that share a local share it after arrival, too; the globals they use
---   are those of the receiver;
--- - by name, so that it is the very same thing at the receiver: modules (tables in `package.loaded`, which the receiver
---   requires), C functions and constants that are fields of modules (`string.format`, `print`, `mpi.SUM`,
---   `mpi.COMM_WORLD`), tables named with `mpi.register`;
--- - tables whose metatable was named with `mpi.register`. No metamethod runs on the way.
---
--- Anything else (a coroutine, a file, a table with another metatable …) raises before a byte is sent, and the message
--- says where it is: `cannot send a thread at value.jobs[3].co`, `cannot send a FILE* at value.f (upvalue 'log')`.

--- The value as a string of bytes, as it would travel: to be kept in a file, say. The same version of luampi reads it
--- again with `mpi.unpack`.
---@param value any
---@return string
function mpi.pack(value) end

--- The value that `mpi.pack` made the string of. Any other string raises `not a message: …`; functions in it are checked
--- before they are loaded. Do not run functions from strings that you do not trust.
---@param bytes string
---@return any
function mpi.unpack(bytes) end

--- Names a table, so that it and the tables that have it as their metatable travel. All ranks do it with the same name:
--- `local Point = mpi.register("point", {__index = methods})`. Raises when the name or the table is taken otherwise.
---@param name string
---@param mt table
---@return table mt the same table
function mpi.register(name, mt) end
