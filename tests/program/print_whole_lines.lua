-- ranks: 4
-- exit: 0
-- once: every line whole
-- Lines of very different length from all ranks at once; a second run looks at what the first one printed.
-- run: t=$(mktemp); $mpirun -n 4 $luampi $file lines >$t; $luampi $file $t; code=$?; rm -f $t; exit $code
if arg[1] == "lines" then
    local letter = string.char(97 + comm:rank())
    for i = 1, 300 do print(letter:rep(i % 2 == 0 and 9000 + i or 80), i) end
    os.exit(0)
end
local count = 0
for line in io.lines(arg[1]) do
    local letter = line:sub(1, 1)
    assert(line:find("^" .. letter .. "+\t%d+$"), "cut: " .. line:sub(1, 60) .. " … " .. line:sub(-60))
    count = count + 1
end
assert(count == 1200, count)
print "every line whole"
