#include "measure.h"

static double a[1 << 17], b[1 << 17];
static int count;

static void pingpong(void) {
    if (rank == 0) {
        MPI_Send(a, count, MPI_DOUBLE, 1, 0, MPI_COMM_WORLD);
        MPI_Recv(b, count, MPI_DOUBLE, 1, 0, MPI_COMM_WORLD, MPI_STATUS_IGNORE);
    } else {
        MPI_Recv(b, count, MPI_DOUBLE, 0, 0, MPI_COMM_WORLD, MPI_STATUS_IGNORE);
        MPI_Send(a, count, MPI_DOUBLE, 0, 0, MPI_COMM_WORLD);
    }
}

static void allreduce(void) { MPI_Allreduce(a, b, count, MPI_DOUBLE, MPI_SUM, MPI_COMM_WORLD); }
static void bcast(void) { MPI_Bcast(a, count, MPI_DOUBLE, 0, MPI_COMM_WORLD); }
static void barrier(void) { MPI_Barrier(MPI_COMM_WORLD); }

static void work_on(int n, const char *name, void (*code)(void), int operations) {
    count = n;
    work(name, code, operations);
}

int main(int argc, char **argv) {
    MPI_Init(&argc, &argv);
    MPI_Comm_rank(MPI_COMM_WORLD, &rank);
    for (int i = 0; i < 1 << 17; i++) a[i] = b[i] = 1;
    work_on(1, "Send/Recv 8 B, one way", pingpong, 2);
    work_on(1 << 7, "Send/Recv 1 KiB, one way", pingpong, 2);
    work_on(1 << 13, "Send/Recv 64 KiB, one way", pingpong, 2);
    work_on(1 << 17, "Send/Recv 1 MiB, one way", pingpong, 2);
    work_on(1, "Allreduce 8 B", allreduce, 1);
    work_on(1 << 17, "Allreduce 1 MiB", allreduce, 1);
    work_on(1, "Bcast 8 B", bcast, 1);
    work("barrier", barrier, 1);
    MPI_Finalize();
}
