/* See measure.lua. */
#include <mpi.h>
#include <stdio.h>
#include <stdlib.h>

static int rank;

static double batch(void (*code)(void), long n) {
    MPI_Barrier(MPI_COMM_WORLD);
    double seconds = -MPI_Wtime();
    for (long i = 0; i < n; i++) code();
    MPI_Barrier(MPI_COMM_WORLD);
    seconds += MPI_Wtime();
    MPI_Bcast(&seconds, 1, MPI_DOUBLE, 0, MPI_COMM_WORLD);
    return seconds;
}

static void work(const char *name, void (*code)(void), int operations) {
    double enough = atof(getenv("BENCH_SECONDS")), best = 0;
    long n = 1;
    while (best < enough) {
        n *= 2;
        best = batch(code, n);
    }
    for (double left = 4 * enough, again; left > 0; left -= again) {
        again = batch(code, n);
        if (again < best) best = again;
    }
    if (rank == 0) printf("%s\t%.9g\n", name, best / (double)n / operations);
}
