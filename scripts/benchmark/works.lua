-- What scripts/bench measures, against whom, and what is asked for.
--
-- A group has a program a language, luampi's first, each of which does all works of the group and prints for each a
-- line "name<TAB>value": seconds an operation, or what `unit` says. With `whole` the only work is the job itself.
-- A program's command runs in build/benchmark, where the C programs are; $works is this directory. `imports`: the
-- program is left out where Python has no such module; `slow`: also with --quick.
-- `rounds`: no more are needed. A work is its name and, by peer, what luampi's value may be at
-- most: so many times the peer's, or with `difference` so much more than the peer's.

local messages = {
    name = "messages", on = "2 ranks",
    programs = {
        {"luampi", "mpirun -n 2 $luampi $works/messages.lua"},
        {"C", "mpirun -n 2 ./messages"},
        {"mpi4py", "mpirun -n 2 $python $works/messages.py", imports = "mpi4py.MPI"},
    },
    works = {
        {"Send/Recv 8 B, one way", C = 1.7, mpi4py = 0.5},
        {"Send/Recv 1 KiB, one way", C = 1.3},
        {"Send/Recv 64 KiB, one way", C = 1.08},
        {"Send/Recv 1 MiB, one way", C = 1.08},
        {"Allreduce 8 B", C = 1.3, mpi4py = 0.6},
        {"Bcast 8 B", C = 1.3, mpi4py = 0.6},
        {"barrier", C = 1.3, mpi4py = 0.6},
        {"Allreduce 1 MiB", C = 1.05},
        {"send/recv an integer", mpi4py = 0.6},
        {"send/recv 10^4 floats", mpi4py = 0.4},
        {"send/recv a 1000-key table", mpi4py = 0.5},
        {"send/recv 10^4 records", mpi4py = 0.5},
        {"allreduce a number", mpi4py = 0.2},
        {"bcast a small table", mpi4py = 0.6},
        {"gather a small table", mpi4py = 0.6},
        {"allgather a small table", mpi4py = 0.6},
    },
}

local startup = {
    name = "startup", on = "4 ranks", whole = true,
    programs = {
        {"luampi", "mpirun -n 4 $luampi $works/startup.lua"},
        {"C", "mpirun -n 4 ./startup"},
        {"mpi4py", "mpirun -n 4 $python $works/startup.py", imports = "mpi4py.MPI"},
    },
    works = {{"mpirun on an empty script", C = 1.15, mpi4py = 0.7}},
}

local memory = {
    name = "memory", on = "4 ranks", unit = "MB", difference = true,
    programs = {
        {"luampi", "mpirun -n 4 $luampi $works/memory.lua"},
        {"C", "mpirun -n 4 ./memory"},
        {"mpi4py", "mpirun -n 4 $python $works/memory.py", imports = "mpi4py.MPI"},
    },
    works = {{"a rank, resident", C = 6}},
}

local arrays = {
    name = "arrays",
    programs = {
        {"luampi", "$luampi $works/arrays.lua"},
        {"NumPy", "$python $works/arrays.py", imports = "numpy"},
    },
    works = {
        {"M:dot(v), 1024^2", NumPy = 1.1},
        {"M:dot(M), 1024^2", NumPy = 1.1},
        {"save 80 MB", NumPy = 1.1},
        {"load 80 MB", NumPy = 1.1},
    },
}
for i, name in ipairs {"a + b", "a * s", "exp", "sum", "max", "a:dot(b)", "random"} do
    table.insert(arrays.works, 2 * i - 1, {name .. ", 10^6", NumPy = 1.1})
    table.insert(arrays.works, 2 * i, {name .. ", 10^3", NumPy = 0.8})
end

local elements = {
    name = "elements",
    programs = {
        {"luampi", "$luampi $works/elements.lua array"},
        {"table", "$luampi $works/elements.lua table"},
    },
    works = {
        {"read an element", table = 3.5},
        {"write an element", table = 3.5},
    },
}

local pool = {
    name = "pool", on = "as many workers",
    programs = {
        {"luampi", "sh -c 'mpirun -n 2 $luampi $works/pool.lua submit; mpirun -n 4 $luampi $works/pool.lua call'"},
        {"futures", "sh -c 'mpirun -n 3 $python $works/pool.py submit; mpirun -n 5 $python $works/pool.py call'",
         imports = "mpi4py.futures"},
    },
    works = {
        {"submit + get of an empty task", futures = 0.2},
        {"an empty function on 4 ranks", futures = 0.1},
    },
}

local map = {
    name = "map", on = "2 ranks",
    programs = {
        {"luampi", "mpirun -n 2 $luampi $works/map.lua"},
        {"multiproc.", "$python $works/map.py multiprocessing", imports = "multiprocessing"},
        {"futures", "mpirun -n 3 $python -m mpi4py.futures $works/map.py futures", imports = "mpi4py.futures"},
        {"ipyparallel", "$python $works/map.py ipyparallel", imports = "ipyparallel", slow = true},
    },
    works = {
        {"map, 10^6 tasks x*x", ["multiproc."] = 0.5},
        {"map, one task at a time", ["multiproc."] = 1 / 20, futures = 1 / 100, ipyparallel = 1 / 1000},
    },
}

local uneven = {
    name = "uneven", on = "4 ranks", rounds = 3,
    programs = {
        {"luampi", "mpirun -n 4 $luampi $works/uneven.lua"},
        {"ideal", "$luampi $works/uneven.lua ideal"},
    },
    works = {{"64 tasks of 0 to 20 ms", ideal = 1.1}},
}

local mapmemory = {
    name = "mapmemory", on = "4 ranks", unit = "MB", difference = true, rounds = 2,
    programs = {
        {"luampi", "sh -c 'mpirun -n 4 $luampi $works/mapmemory.lua into; mpirun -n 4 $luampi $works/mapmemory.lua stream'"},
        {"without", "sh -c 'mpirun -n 4 $luampi $works/mapmemory.lua numbers; mpirun -n 4 $luampi $works/mapmemory.lua nothing'"},
    },
    works = {
        {"10^7 numbers into an array", without = 50},
        {"imap, generator of 10^6 items", without = 45}, -- which is below 60 in all
    },
}

return {messages, startup, memory, arrays, elements, pool, map, uneven, mapmemory}
