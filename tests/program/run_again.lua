-- scripts/run from another directory, with nothing to set up.
-- asan: no
-- run: here=$PWD && cd / && "$here/scripts/run" -n 3 "$here/$file" a "b c"
-- exit: 0
-- once: 3 ranks, arguments: a, b c
-- never: building
-- never: installing
if comm:rank() == 0 then print(comm:size() .. " ranks, arguments: " .. table.concat(arg, ", ")) end
