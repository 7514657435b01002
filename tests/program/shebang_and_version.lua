#!/usr/bin/env luampi
-- run: $luampi $file; $luampi --version; $luampi -v -e 'print "and on"'; $luampi --help; [ "$($luampi -h)" = "$($luampi --help)" ]
-- exit: 0
-- stdout: a first line for the shell	8
-- matches: luampi %d+%.%d+%.%d+  %(Lua 5%.4, Open MPI
-- stdout: and on
-- stdout: usage: luampi [options] [script [args]]
print("a first line for the shell", debug.getinfo(1, "l").currentline)
