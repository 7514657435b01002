-- Other programs take the cores: a rank looks seldom then, but sees it all the same.
-- run: for core in $(seq $(nproc)); do timeout 40 sh -c 'while :; do :; done' & busy="$busy $!"; done
-- run: $mpirun -n 3 $luampi $file
-- run: code=$?; kill $busy; exit $code
-- exit: 1
-- within: 60
-- stderr: rank 1 waits in comm:recv(source=0, tag=11) at tests/fail/deadlock_on_a_busy_machine.lua:9
-- once: no rank can go on
comm:recv((comm:rank() - 1) % comm:size(), 11)
