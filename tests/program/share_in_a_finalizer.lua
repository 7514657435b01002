-- ranks: 1 2
-- exit: 0
-- stdout: comm:share was given up, with its task or its communicator
local own = setmetatable({}, {__gc = function (own) print(select(2, pcall(own.next))) end})
own.next = comm:dup():share(10)
own.next()
