-- What the program changes in a script's globals.

-- Bytecode that was tampered with crashes Lua, so scripts load text only.
local load = load

function _G.load(chunk, name, mode, ...)
    if mode == "b" then return nil, "attempt to load a binary chunk (scripts load text only)" end
    return load(chunk, name, mode == "bt" and "t" or mode or "t", ...)
end
